// Columns by halving: decide the left half, add its feedback to the right half with one product, decide the right half.
#include "lattice/nearest_plane.h"

#include <algorithm>
#include <cassert>

#include "base/threads.h"
#include "lattice/row_tile.h"

namespace nearplane::lattice {
namespace {

template <class T>
void decide_range(RowTile<T>& tile, std::int64_t k0, std::int64_t k1) {
  if (k1 - k0 <= kLeafColumns) return tile.decide_columns(k0, k1);
  const auto leaves = (k1 - k0 + kLeafColumns - 1) / kLeafColumns;
  const auto mid = k0 + (leaves + 1) / 2 * kLeafColumns;
  decide_range(tile, k0, mid);
  tile.feed(k0, mid, mid, k1);
  decide_range(tile, mid, k1);
}

}  // namespace

template <class T, class Code>
Outcome nearest_plane(MatrixView<const float> w, const Triangle<T>& l, const Grid& grid, MatrixView<Code> codes) {
  return solve_by_tiles<T>(w, l, grid, codes, [&](RowTile<T>& tile) {
    if (l.factor.rank() > 0) decide_range(tile, 0, l.factor.rank());
  });
}

template Outcome nearest_plane(MatrixView<const float>, const Triangle<float>&, const Grid&, MatrixView<std::uint8_t>);
template Outcome nearest_plane(MatrixView<const float>, const Triangle<double>&, const Grid&, MatrixView<std::uint8_t>);
template Outcome nearest_plane(MatrixView<const float>, const Triangle<float>&, const Grid&, MatrixView<std::int16_t>);
template Outcome nearest_plane(MatrixView<const float>, const Triangle<double>&, const Grid&, MatrixView<std::int16_t>);

}  // namespace nearplane::lattice
