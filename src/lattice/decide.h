// The sequential core of nearest plane: a short run of columns for a tile of rows, rows side by side in SIMD lanes.
#pragma once

#include <cstdint>

namespace nearplane::lattice {

constexpr std::int64_t kTileRows = 128;    // rows of a tile; a multiple of 8 vectors of every target
constexpr std::int64_t kLeafColumns = 64;  // columns decided without matrix products in between

/// A tile of rows, transposed: every array below is [position][kTileRows] unless stated otherwise.
template <class T>
struct Tile {
  const T* l = nullptr;                 // L_kj / L_kk, [rank][stride]
  std::int64_t stride = 0;              //
  const T* pivots = nullptr;            // [position], 0 outside the order
  const std::int64_t* group = nullptr;  // [position] row of step and zero
  const T* step = nullptr;              // [group][kTileRows]
  const T* zero = nullptr;              // [group][kTileRows]
  T min_code = 0, max_code = 0;
  T* w = nullptr;         // in: w_k; out, once decided: w_k - q_k
  T* feedback = nullptr;  // in: what columns before this run add to w_k; out: the code of column k
};

/// Decides positions [k0, k1), k1 - k0 <= kLeafColumns. error[kTileRows] += sum of e_k^2,
/// clipped[kTileRows] += how many were clipped.
void decide(const Tile<float>& tile, std::int64_t k0, std::int64_t k1, float* error, float* clipped);
void decide(const Tile<double>& tile, std::int64_t k0, std::int64_t k1, double* error, double* clipped);

}  // namespace nearplane::lattice
