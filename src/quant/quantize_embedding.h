// The embedding or the head of a model in 8 bits: every weight to the nearest of 256 levels, one step for each row.
// Problem: Q[i,j] = s[i] (z[i,j] - 128), s[i] the least f16 number > 0 with -128 s[i] <= W[i,j] <= 127 s[i] for all j.
// Cost: W is decoded once, a tile of rows at a time. Bound: |W[i,j] - Q[i,j]| <= s[i] / 2, nothing is clipped.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "qtensor/integer_tensor.h"

namespace nearplane {

/// Rows [r0, r0 + count) of W to out[count, cols]. Thread-safe.
using DecodeRows = std::function<void(std::int64_t r0, std::int64_t count, float* out)>;

struct QuantizedEmbedding {
  IntegerTensor tensor;  // 8 bits, symmetric, one group in a row
  double error = 0;      // |W-Q|^2 / |W|^2 (Frobenius), 0 where W is
};

/// Uses all threads; same result for any number of them. A row that a step below the least f16 number, 2^-24, would
/// serve better gets that one, so its weights are within 2^-25; a row of zeros stays zero.
/// Error{bad_input} at `where` naming the row for a weight that is not finite, or a row whose step is beyond f16.
QuantizedEmbedding quantize_embedding(std::int64_t rows, std::int64_t cols, const DecodeRows& decode,
                                      const std::string& where);

}  // namespace nearplane
