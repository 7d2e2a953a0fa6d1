#include "lattice/row_tile.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/threads.h"
#include "kernel/gemm.h"

namespace nearplane::lattice {
namespace {

std::vector<std::int64_t> all_positions(const Factor& factor) {
  auto columns = factor.order;
  std::vector<bool> decided(static_cast<std::size_t>(factor.dimension));
  for (const auto j : factor.order) decided[j] = true;
  for (std::int64_t j = 0; j < factor.dimension; ++j)
    if (!decided[j]) columns.push_back(j);
  return columns;
}

// from [rows, .] row-major -> to [count][kTileRows], to[k] = column columns[k] (or k); rows missing to a full tile get
// `fill`. Sixteen rows at a time, a cache line of `to`.
template <class T, class Column>
void transpose_in(MatrixView<const float> from, std::int64_t count, const Column& column, T fill, T* to) {
  for (std::int64_t r0 = 0; r0 < kTileRows; r0 += 16)
    for (std::int64_t k = 0; k < count; ++k)
      for (std::int64_t r = r0; r < r0 + 16; ++r)
        to[k * kTileRows + r] = r < from.rows ? static_cast<T>(from(r, column(k))) : fill;
}

}  // namespace

template <class T>
Plan<T>::Plan(const Triangle<T>& triangle, const Grid& g)
    : l(triangle), grid(g), columns(all_positions(triangle.factor)) {
  const auto& exact = l.factor.pivots;
  if (!exact.empty()) unit = std::ldexp(1.0, std::ilogb(*std::max_element(exact.begin(), exact.end())));
  for (const auto pivot : exact) pivots.push_back(static_cast<T>(pivot / unit));
  pivots.resize(columns.size());
  for (const auto j : columns) group.push_back(j / g.group);
}

template <class T>
RowTile<T>::RowTile(const Plan<T>& p, MatrixView<const float> weights, std::int64_t first_row)
    : plan(p),
      w(Matrix<T>::uninitialized(std::ssize(p.columns), kTileRows)),
      feedback(std::ssize(p.columns), kTileRows),
      step(Matrix<T>::uninitialized(p.grid.step.cols(), kTileRows)),
      zero(Matrix<T>::uninitialized(p.grid.step.cols(), kTileRows)) {
  const auto same = [](std::int64_t g) { return g; };
  const auto groups = plan.grid.step.cols();
  transpose_in(
      weights, w.rows(), [&](std::int64_t k) { return plan.columns[k]; }, T{0}, w.data());
  transpose_in(plan.grid.step.view().rows_at(first_row, weights.rows), groups, same, T{1}, step.data());
  transpose_in(plan.grid.zero.view().rows_at(first_row, weights.rows), groups, same, T{0}, zero.data());
  tile = {.l = plan.l.rows.data(),
          .stride = plan.l.rows.cols(),
          .pivots = plan.pivots.data(),
          .group = plan.group.data(),
          .step = step.data(),
          .zero = zero.data(),
          .min_code = static_cast<T>(plan.grid.min_code),
          .max_code = static_cast<T>(plan.grid.max_code),
          .w = w.data(),
          .feedback = feedback.data()};
}

template <class T>
void RowTile<T>::decide_columns(std::int64_t k0, std::int64_t k1) {
  alignas(64) T e[kTileRows] = {}, beyond[kTileRows] = {};
  decide(tile, k0, k1, e, beyond);
  for (std::int64_t r = 0; r < kTileRows; ++r) {
    error[r] += static_cast<double>(e[r]);
    clipped[r] += static_cast<double>(beyond[r]);
  }
}

template <class T>
void RowTile<T>::feed(std::int64_t j0, std::int64_t j1, std::int64_t k0, std::int64_t k1) {
  gemm_nn(k1 - k0, kTileRows, j1 - j0, T{1}, plan.l.rows.row(k0) + j0, plan.l.rows.cols(), w.row(j0), kTileRows, T{1},
          feedback.row(k0), kTileRows);
}

template <class T>
template <class Code>
void RowTile<T>::write(MatrixView<Code> codes, double* errors, double* clipped_codes) const {
  for (std::int64_t r0 = 0; r0 < codes.rows; r0 += 16)
    for (std::int64_t k = 0; k < feedback.rows(); ++k)
      for (std::int64_t r = r0; r < std::min(codes.rows, r0 + 16); ++r)
        codes(r, plan.columns[k]) = static_cast<Code>(feedback(k, r));
  for (std::int64_t r = 0; r < codes.rows; ++r) {
    errors[r] = error[r] * plan.unit * plan.unit;
    clipped_codes[r] = clipped[r];
  }
}

template <class T, class Code>
Outcome solve_by_tiles(MatrixView<const float> w, const Triangle<T>& l, const Grid& grid, MatrixView<Code> codes,
                       const std::function<void(RowTile<T>&)>& solve) {
  assert(w.cols == l.factor.dimension && w.cols == codes.cols && w.rows == codes.rows && w.rows == grid.step.rows());
  const Plan<T> plan(l, grid);
  Outcome out;
  out.error.resize(static_cast<std::size_t>(w.rows));
  std::vector<double> clipped(out.error.size());
  parallel_for((w.rows + kTileRows - 1) / kTileRows, [&](std::int64_t index) {
    const auto r0 = index * kTileRows, count = std::min(kTileRows, w.rows - r0);
    RowTile<T> tile(plan, w.rows_at(r0, count), r0);
    solve(tile);
    for (auto k = l.factor.rank(); k < std::ssize(plan.columns); ++k) tile.decide_columns(k, k + 1);
    tile.write(codes.rows_at(r0, count), out.error.data() + r0, clipped.data() + r0);
  });
  for (const auto count : clipped) out.clipped += static_cast<std::int64_t>(count);
  return out;
}

template struct Plan<float>;
template struct Plan<double>;
template struct RowTile<float>;
template struct RowTile<double>;
#define NEARPLANE_SOLVE_BY_TILES(T, Code)                                                                     \
  template Outcome solve_by_tiles(MatrixView<const float>, const Triangle<T>&, const Grid&, MatrixView<Code>, \
                                  const std::function<void(RowTile<T>&)>&)
NEARPLANE_SOLVE_BY_TILES(float, std::uint8_t);
NEARPLANE_SOLVE_BY_TILES(double, std::uint8_t);
NEARPLANE_SOLVE_BY_TILES(float, std::int16_t);
NEARPLANE_SOLVE_BY_TILES(double, std::int16_t);
#undef NEARPLANE_SOLVE_BY_TILES

}  // namespace nearplane::lattice
