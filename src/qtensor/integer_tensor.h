// A linear layer in integer codes with a scale and a zero point per group: what engines load.
// Problem: Q[i,j] = s[i,g(j)] * (z[i,j] - zero[i,g(j)]), g(j) = j / group; codes z in [0, 2^bits).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/matrix.h"

namespace nearplane {

struct IntegerTensor {
  std::int64_t rows = 0, cols = 0;  // W [m, n] = [out, in]
  int bits = 0;                     // 2 to 8
  std::int64_t group = 0;           // columns that share a scale, along a row; `cols` = one scale per row
  bool symmetric = false;           // every zero point is 2^(bits-1), and zeros is empty

  std::vector<std::byte> codes;       // [rows][packed_row_bytes(cols, bits)], codec/pack.h
  std::vector<std::uint16_t> scales;  // [rows][groups] f16, finite, > 0
  std::vector<std::byte> zeros;       // [rows][packed_row_bytes(groups, bits)], empty if symmetric

  std::int64_t groups() const { return (cols + group - 1) / group; }
  std::int64_t row_bytes() const;       // packed codes of one row
  std::int64_t zero_row_bytes() const;  // packed zero points of one row, 0 if symmetric

  /// Throws Error{bad_input} at `where` unless sizes, ranges and scales are what the comments above say.
  void validate(const std::string& where) const;
  /// Bytes of everything needed to decode.
  std::int64_t stored_bytes() const;

  /// Unpacked codes of row r into out[cols]; zero points of row r into out[groups].
  void codes_of_row(std::int64_t r, std::uint8_t* out) const;
  void zeros_of_row(std::int64_t r, std::uint8_t* out) const;
  /// The reference decode: rows [r0, r0 + count) to out[count, cols], each weight = f32(scale) * (code - zero), exact
  /// up to the one f32 rounding of the product. Single-threaded.
  void decode_rows(std::int64_t r0, std::int64_t count, float* out) const;
};

/// Builds the packed form. codes [m,n], scales [m,G] f16 bit patterns, zeros [m,G] (ignored if symmetric).
IntegerTensor pack_quantized(MatrixView<const std::uint8_t> codes, MatrixView<const std::uint16_t> scales,
                             MatrixView<const std::uint8_t> zeros, int bits, std::int64_t group, bool symmetric);

}  // namespace nearplane
