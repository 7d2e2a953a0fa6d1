// The sequential core of the list nearest plane: a short run of columns for a tile of rows, every row with K partial
// solutions ("survivors"), rows side by side in SIMD lanes.
#pragma once

#include <cstdint>

#include "lattice/decide.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

constexpr std::int64_t kBeamLeaf = 16;     // columns decided before survivors are traced back
constexpr std::int64_t kOpenColumns = 64;  // columns in which the survivors of a row may differ; multiple of kBeamLeaf
constexpr int kLargestBeam = 8;            // a power of two, as is every beam

/// The survivors of a tile. Arrays are in a layout of the kernel: strips of as many rows as a vector holds.
template <class T>
struct Beam {
  int size;                      // K
  std::int64_t open = 0;         // columns from here to the next one to decide are open; those before it are closed
  Matrix<T> cost;                // [K x kTileRows] sum e_k^2 less the least one so far; infinite: no survivor
  Matrix<T> codes, differences;  // [kOpenColumns + kBeamLeaf, K x kTileRows] of the open columns, the first at 0

  explicit Beam(int size);
};

/// Decides positions [k0, k1), k1 - k0 <= kBeamLeaf, k0 - beam.open <= kOpenColumns, then closes [beam.open, close):
/// survivors that differ there from the best one are dropped, its differences and codes are written to the tile as
/// decide() does. settled[kTileRows] receives what was taken off all costs: the least cost; clipped[kTileRows] +=
/// clipped codes among the closed ones.
void extend(const Tile<float>& tile, Beam<float>& beam, std::int64_t k0, std::int64_t k1, std::int64_t close,
            float* settled, float* clipped);
void extend(const Tile<double>& tile, Beam<double>& beam, std::int64_t k0, std::int64_t k1, std::int64_t close,
            double* settled, double* clipped);

}  // namespace nearplane::lattice
