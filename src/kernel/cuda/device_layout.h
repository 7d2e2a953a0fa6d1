// Matrices in the layouts of the device, made on the host when a model is loaded. docs/kernels-gpu.md has the bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernel/cuda/dense.h"
#include "kernel/cuda/tuple.h"

namespace nearplane::cuda {

/// Memory of RowExtras; what is empty is not there.
struct ExtraLayout {
  std::vector<std::uint32_t> starts;  // [rows + 1]
  std::vector<ListEntry> list;
  std::vector<std::int32_t> kept_columns;
  std::vector<std::uint16_t> kept_values;  // [rows][kept] f16
  std::vector<float> row_steps;            // [rows]

  RowExtras view() const {
    return {
        starts.empty() ? nullptr : starts.data(), list.data(),        kept_columns.data(),
        static_cast<int>(kept_columns.size()),    kept_values.data(), row_steps.empty() ? nullptr : row_steps.data()};
  }
};

/// Memory of a DenseMatrix, its extras aside.
struct DenseLayout {
  DenseMatrix shape{};  // with null pointers
  std::vector<Line> codes;
  std::vector<std::uint16_t> scales;
  std::vector<std::uint8_t> zeros;

  /// Codes of 2, 3, 4 or 8 bits in groups of a multiple of 64 columns, or whole rows.
  static bool can_hold(int bits, std::int64_t cols, std::int64_t group);
  /// codes [rows][cols], scales [rows][groups] f16 bits and zeros [rows][groups]; can_hold() holds.
  DenseLayout(int rows, int cols, int bits, int group, std::span<const std::uint8_t> codes,
              std::span<const std::uint16_t> scales, std::span<const std::uint8_t> zeros);
  DenseMatrix view() const;
};

/// A word of a tuple stream, first bit lowest.
struct TupleBits {
  std::uint16_t code;
  std::uint8_t length;
};

/// A matrix in words, with the table that decodes them.
struct TupleSource {
  int rows, cols, k;
  int columns;  // of a substream; words of each begin in state 0
  int table_bits, states, zero_point;
  std::span<const std::uint32_t> table;  // [states][2^table_bits]
  std::span<const TupleBits> words;      // [rows][ceil(cols / k)]
};

/// Memory of a TupleMatrix, its extras aside.
struct TupleLayout {
  TupleMatrix shape{};  // with null pointers
  std::vector<std::uint32_t> table, starts;
  std::vector<Line> data;

  /// Words of at most 10 bits, substreams of whole groups of three tuples and at most kMostPieceColumns columns.
  static bool can_hold(const TupleSource& source);
  /// Columns of a substream, as many as it may have and such that little of the last chunk is empty: for codes without
  /// states. With states a substream is what lies between two restarts.
  static int columns_for(int cols, int k);
  /// can_hold() holds. One copy of the table: fit_shared() sets their number.
  explicit TupleLayout(const TupleSource& source);
  TupleMatrix view() const;
};

}  // namespace nearplane::cuda
