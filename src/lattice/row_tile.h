// A tile of rows on its way through a solver that decides columns in the order of a factor: what nearest plane and its
// list form share. Rows are independent; a tile is transposed so that rows are neighbours in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "lattice/decide.h"
#include "lattice/factor.h"
#include "lattice/grid.h"
#include "lattice/outcome.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

/// What all tiles share, by position: the order, then the coordinates outside it by index.
template <class T>
struct Plan {
  const Triangle<T>& l;
  const Grid& grid;
  std::vector<std::int64_t> columns, group;
  std::vector<T> pivots;  // divided by `unit`, a power of two near the largest, so that their squares fit T
  double unit = 1;

  Plan(const Triangle<T>& triangle, const Grid& g);
};

template <class T>
struct RowTile {
  const Plan<T>& plan;
  Matrix<T> w, feedback, step, zero;  // [position or group][kTileRows], see Tile
  Tile<T> tile;
  double error[kTileRows] = {}, clipped[kTileRows] = {};

  /// Rows [first_row, first_row + w.rows) of the problem, at most kTileRows; w has only these rows.
  RowTile(const Plan<T>& p, MatrixView<const float> weights, std::int64_t first_row);

  /// Decides positions [k0, k1), at most kLeafColumns, by nearest plane.
  void decide_columns(std::int64_t k0, std::int64_t k1);
  /// What the decided columns [j0, j1) add to columns [k0, k1).
  void feed(std::int64_t j0, std::int64_t j1, std::int64_t k0, std::int64_t k1);
  /// Codes by coordinate, errors scaled back.
  template <class Code>
  void write(MatrixView<Code> codes, double* errors, double* clipped_codes) const;
};

/// Runs `solve` (positions of the order) over all tiles of rows on all threads, rounds the coordinates outside the
/// order, collects codes [m,n] of 8 or 16 bits. Tiles do not depend on the number of threads.
template <class T, class Code>
Outcome solve_by_tiles(MatrixView<const float> w, const Triangle<T>& l, const Grid& grid, MatrixView<Code> codes,
                       const std::function<void(RowTile<T>&)>& solve);

extern template struct Plan<float>;
extern template struct Plan<double>;
extern template struct RowTile<float>;
extern template struct RowTile<double>;

}  // namespace nearplane::lattice
