// The hot loop of the scale search: one group of columns for a tile of rows, rows side by side in SIMD lanes.
#pragma once

#include <cstdint>

namespace nearplane {

constexpr std::int64_t kSearchRows = 64;  // rows of a tile; a multiple of every target's vector

/// A group of `columns` weights of kSearchRows rows, transposed.
struct SearchTile {
  const float* w = nullptr;       // [columns][kSearchRows] finite
  const float* weight = nullptr;  // [columns] >= 0, largest 1; null: the range of the weights, no search
  std::int64_t columns = 0;
  float max_code = 0;
  float fixed_zero = 0;  // > 0: symmetric
};

/// step[kSearchRows] (f16 numbers from 2^-14, or beyond the range of f16: the caller refuses), zero[kSearchRows].
void search_tile(const SearchTile& tile, float* step, float* zero);

}  // namespace nearplane
