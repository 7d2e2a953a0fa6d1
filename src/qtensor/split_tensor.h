// A linear layer whose rows are split in two, the few largest weights and the rest, each with a quantizer of its own.
// Problem: the rest: Q = step * (code - (2^bits - 1) / 2). The largest, "outliers": Q = s (low + outer_step * u), u =
// the code without its highest bit, s = -1 where that is set, else 1: both tails of the distribution, nothing between
// them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "codec/gap_code.h"

namespace nearplane {

struct SplitTensor {
  /// Numbers that make the weights of a row.
  struct Scales {
    std::uint16_t step = 0, low = 0, outer_step = 0;  // f16, finite, not negative
  };

  std::int64_t rows = 0, cols = 0;  // W [m, n] = [out, in]
  int bits = 0;                     // 2 to 8
  std::int64_t outliers = 0;        // in each row, 0 to cols
  std::vector<std::byte> codes;     // [rows][packed_row_bytes(cols, bits)], codec/pack.h
  std::vector<Scales> scales;       // [rows]
  std::optional<GapReader> gaps;    // which weights are outliers

  /// Throws Error{bad_input} at `where` unless sizes and scales are what the comments above say.
  void validate(const std::string& where) const;
  std::int64_t stored_bytes() const;
  /// Rows [r0, r0 + count) to out[count, cols]: each f32 sum and product rounded. Single-threaded.
  void decode_rows(std::int64_t r0, std::int64_t count, float* out) const;
};

}  // namespace nearplane
