// Columns by panels. Closed columns, the same for all survivors, feed a panel through one product; open ones, different
// for every survivor, within the kernel.
#include "lattice/kbest.h"

#include <algorithm>
#include <cassert>

#include "lattice/beam.h"
#include "lattice/row_tile.h"

namespace nearplane::lattice {
namespace {

constexpr std::int64_t kPanel = 128;  // columns; a multiple of kBeamLeaf, at least kOpenColumns

template <class T>
void run_columns(RowTile<T>& tile, Beam<T>& beam, std::int64_t k0, std::int64_t k1, std::int64_t close) {
  alignas(64) T settled[kTileRows], clipped[kTileRows] = {};
  extend(tile.tile, beam, k0, k1, close, settled, clipped);
  for (std::int64_t r = 0; r < kTileRows; ++r) {
    tile.error[r] += static_cast<double>(settled[r]);
    tile.clipped[r] += static_cast<double>(clipped[r]);
  }
}

template <class T>
void decide_all(RowTile<T>& tile, int size, std::int64_t rank) {
  Beam<T> beam(size);
  for (std::int64_t p0 = 0; p0 < rank; p0 += kPanel) {
    const auto p1 = std::min(rank, p0 + kPanel);
    if (beam.open > 0) tile.feed(0, beam.open, p0, p1);
    for (auto k0 = p0; k0 < p1; k0 += kBeamLeaf) {
      const auto k1 = std::min(p1, k0 + kBeamLeaf), before = beam.open;
      run_columns(tile, beam, k0, k1, k1 == rank ? rank : std::max(before, k1 - kOpenColumns));
      if (beam.open > before && k1 < p1) tile.feed(before, beam.open, k1, p1);
    }
  }
}

}  // namespace

template <class T>
Outcome kbest(MatrixView<const float> w, const Triangle<T>& l, const Grid& grid, int beam,
              MatrixView<std::uint8_t> codes) {
  assert(grid.max_code >= 1);  // every level has a neighbour
  return solve_by_tiles<T>(w, l, grid, codes, [&](RowTile<T>& tile) { decide_all(tile, beam, l.factor.rank()); });
}

template Outcome kbest(MatrixView<const float>, const Triangle<float>&, const Grid&, int, MatrixView<std::uint8_t>);
template Outcome kbest(MatrixView<const float>, const Triangle<double>&, const Grid&, int, MatrixView<std::uint8_t>);

}  // namespace nearplane::lattice
