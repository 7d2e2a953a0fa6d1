// The hot loops of alternating codes and steps: one group of columns for a tile of rows, rows side by side in SIMD
// lanes.
#pragma once

#include <cstdint>

namespace nearplane {

constexpr std::int64_t kAlternateRows = 128;  // rows of a tile; a multiple of 8 vectors of every target

/// A group of columns [first, first + columns) of n. Arrays [n][kAlternateRows] are indexed by column, those of the
/// group by column - first.
template <class T>
struct AlternateTile {
  std::int64_t first = 0, columns = 0;
  const T* h = nullptr;        // [n][stride] H, scaled so that its largest diagonal entry is about 1
  std::int64_t stride = 0;     //
  const T* inverse = nullptr;  // [n] 1 / H_jj, 0 for columns that do not enter the error
  const T* w = nullptr;        // [n][kAlternateRows]
  T* difference = nullptr;     // [n][kAlternateRows] w - q
  T* code = nullptr;           // [n][kAlternateRows]
  T* step = nullptr;           // [kAlternateRows] of the group
  const T* zero = nullptr;     // [kAlternateRows] of the group
  T* gradient = nullptr;       // [columns][kAlternateRows] H (w - q)
  T* change = nullptr;         // [columns][kAlternateRows] of the difference since `gradient` was right
  const T* product = nullptr;  // [columns][kAlternateRows] H u over the group, u = code - zero
  T max_code = 0;
};

/// Columns [k0, k1) of the group in turn: the code of least error given all others. `gradient` must be right for
/// changes before k0; writes code, difference and change.
void descend(const AlternateTile<float>& tile, std::int64_t k0, std::int64_t k1);
void descend(const AlternateTile<double>& tile, std::int64_t k0, std::int64_t k1);

/// The step of least error given the codes, s + (u^T g) / (u^T H u), rounded to f16 and kept within [2^-14, 65504]; as
/// it was where that is not better. Writes step, difference and gradient.
void refit(const AlternateTile<float>& tile);
void refit(const AlternateTile<double>& tile);

}  // namespace nearplane
