// A linear layer in small groups whose scales are themselves quantized, with single weights kept in f16 beside them.
// Problem: Q[i,j] = step * (code[i,j] - zero), or the kept weight; step[i,g] = low + delta * (a code of 3 bits), zero
// the same; low and delta are shared by kSuperRows rows of one group of columns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/matrix.h"

namespace nearplane {

inline constexpr std::int64_t kSuperRows = 16;
inline constexpr int kScaleBits = 3;

struct OutlierTensor {
  /// How the steps and zero points of a super group are made of their codes.
  struct Super {
    std::uint16_t step_low = 0, step_delta = 0;  // f16, finite; step_low > 0, step_delta >= 0
    std::uint16_t zero_low = 0, zero_delta = 0;  // f16, finite, >= 0
  };

  std::int64_t rows = 0, cols = 0;  // W [m, n] = [out, in], n at most 2^16
  int bits = 0;                     // 2 to 8
  std::int64_t group = 0;           // columns that share a step, along a row

  std::vector<std::byte> codes;        // [rows][packed_row_bytes(cols, bits)], codec/pack.h; of kept weights unused
  std::vector<std::byte> step_codes;   // [rows][packed_row_bytes(groups, 3)]
  std::vector<std::byte> zero_codes;   // [rows][packed_row_bytes(groups, 3)]
  std::vector<Super> supers;           // [super_rows][groups]
  std::vector<std::int32_t> starts;    // [rows + 1] first kept weight of each row
  std::vector<std::uint16_t> columns;  // [kept] ascending in each row
  std::vector<std::uint16_t> values;   // [kept] f16, finite

  std::int64_t groups() const { return (cols + group - 1) / group; }
  std::int64_t super_rows() const { return (rows + kSuperRows - 1) / kSuperRows; }

  /// Throws Error{bad_input} at `where` unless sizes, order and ranges are what the comments above say.
  void validate(const std::string& where) const;
  std::int64_t stored_bytes() const;
  /// Steps and zero points [groups] of row r, each product and sum rounded to f32.
  void scales_of_row(std::int64_t r, float* step, float* zero) const;
  /// Rows [r0, r0 + count) to out[count, cols]: difference and product rounded to f32. Single-threaded.
  void decode_rows(std::int64_t r0, std::int64_t count, float* out) const;
};

}  // namespace nearplane
