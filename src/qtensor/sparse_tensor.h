// A linear layer in integer codes without a range: dense codes of b bits, and a list of what they cannot hold.
// Problem: Q[i,j] = s[i,g(j)] * u[i,j], g(j) = j / group, u any integer of 16 bits: dense code less zero point, which
//   is 2^(b-1) or 2^(b-1) - 1 as the sign bit of the scale says, plus what the list adds. Columns of massive inputs are
//   kept whole as 16-bit floats instead; their dense codes are zero points, so that they add nothing.
// Source: Scale-adjusted Sparse Quantization (Chen et al., arXiv 2507.18553).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "qtensor/sparse_list.h"
#include "tensor/matrix.h"

namespace nearplane {

struct SparseTensor {
  std::int64_t rows = 0, cols = 0;  // W [m, n] = [out, in]
  int bits = 0;                     // 2 to 8, of a dense code
  std::int64_t group = 0;           // columns that share a scale, along a row

  std::vector<std::byte> codes;            // [rows][packed_row_bytes(cols, bits)], codec/pack.h
  std::vector<std::uint16_t> scales;       // [rows][groups] f16, sizes finite and > 0
  std::optional<SparseList> overflow;      // of rows x cols
  std::vector<std::int32_t> kept_columns;  // ascending
  std::vector<std::uint16_t> kept;         // [rows][kept_columns] f16, finite

  std::int64_t groups() const { return (cols + group - 1) / group; }
  std::int64_t row_bytes() const;  // packed codes of one row
  /// What a dense code that stands for 0 is, in a group with this scale.
  int zero(std::uint16_t scale) const { return (1 << (bits - 1)) - (scale >> 15); }

  /// Throws Error{bad_input} at `where` unless everything is what the comments above say: listed codes lie beyond the
  /// end of the range that their dense codes are, kept columns have zero points for codes.
  void validate(const std::string& where) const;
  /// Listed codes per weight.
  double overflow_share() const;
  /// Bytes of everything needed to decode.
  std::int64_t stored_bytes() const;
  /// The reference decode: rows [r0, r0 + count) to out[count, cols], each weight = f32(scale) * u, rounded once, or a
  /// kept one. Single-threaded.
  void decode_rows(std::int64_t r0, std::int64_t count, float* out) const;
};

/// Codes and kept columns as a SparseTensor.
struct SparseParts {
  MatrixView<const std::int16_t> codes;  // u [m,n]; those of kept columns do not count
  MatrixView<const float> step;          // [m,G] f16 numbers > 0
  std::vector<std::int32_t> kept_columns;
  MatrixView<const std::uint16_t> kept;  // [m, kept_columns]
};

/// Zero points are those with which fewer codes of a group overflow. Uses all threads.
SparseTensor pack_sparse(const SparseParts& parts, int bits, std::int64_t group);

}  // namespace nearplane
