// Rows are independent: tiles of kTileRows rows, transposed so that rows are neighbours in memory. Columns by halving:
// decide the left half, add its feedback to the right half with one product, decide the right half.
#include "lattice/nearest_plane.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/threads.h"
#include "kernel/gemm.h"
#include "lattice/decide.h"

namespace nearplane::lattice {
namespace {

// Positions -> coordinates: the order, then the coordinates outside it by index.
std::vector<std::int64_t> all_positions(const Factor& factor) {
  auto columns = factor.order;
  std::vector<bool> decided(static_cast<std::size_t>(factor.dimension));
  for (const auto j : factor.order) decided[j] = true;
  for (std::int64_t j = 0; j < factor.dimension; ++j)
    if (!decided[j]) columns.push_back(j);
  return columns;
}

// What all tiles share, by position.
template <class T>
struct Plan {
  const Triangle<T>& l;
  const Grid& grid;
  std::vector<std::int64_t> columns, group;
  std::vector<T> pivots;  // divided by `unit`, a power of two near the largest, so that their squares fit T
  double unit = 1;

  Plan(const Triangle<T>& triangle, const Grid& g) : l(triangle), grid(g), columns(all_positions(triangle.factor)) {
    const auto& exact = l.factor.pivots;
    if (!exact.empty()) unit = std::ldexp(1.0, std::ilogb(*std::max_element(exact.begin(), exact.end())));
    for (const auto pivot : exact) pivots.push_back(static_cast<T>(pivot / unit));
    pivots.resize(columns.size());
    for (const auto j : columns) group.push_back(j / g.group);
  }
};

// from [rows, .] row-major -> to [count][kTileRows], to[k] = column columns[k] (or k); rows missing to a full tile get
// `fill`. Sixteen rows at a time, a cache line of `to`.
template <class T, class Column>
void transpose_in(MatrixView<const float> from, std::int64_t count, const Column& column, T fill, T* to) {
  for (std::int64_t r0 = 0; r0 < kTileRows; r0 += 16)
    for (std::int64_t k = 0; k < count; ++k)
      for (std::int64_t r = r0; r < r0 + 16; ++r)
        to[k * kTileRows + r] = r < from.rows ? static_cast<T>(from(r, column(k))) : fill;
}

template <class T>
class TileSolver {
 public:
  TileSolver(const Plan<T>& plan, MatrixView<const float> w, std::int64_t first_row)
      : plan_(plan),
        w_(Matrix<T>::uninitialized(std::ssize(plan.columns), kTileRows)),
        feedback_(std::ssize(plan.columns), kTileRows),
        step_(Matrix<T>::uninitialized(plan.grid.step.cols(), kTileRows)),
        zero_(Matrix<T>::uninitialized(plan.grid.step.cols(), kTileRows)) {
    const auto same = [](std::int64_t g) { return g; };
    const auto groups = plan.grid.step.cols();
    transpose_in(
        w, w_.rows(), [&](std::int64_t k) { return plan.columns[k]; }, T{0}, w_.data());
    transpose_in(plan.grid.step.view().rows_at(first_row, w.rows), groups, same, T{1}, step_.data());
    transpose_in(plan.grid.zero.view().rows_at(first_row, w.rows), groups, same, T{0}, zero_.data());
    tile_ = {.l = plan.l.rows.data(),
             .stride = plan.l.rows.cols(),
             .pivots = plan.pivots.data(),
             .group = plan.group.data(),
             .step = step_.data(),
             .zero = zero_.data(),
             .max_code = static_cast<T>(plan.grid.max_code),
             .w = w_.data(),
             .feedback = feedback_.data()};
  }

  void solve() {
    const auto rank = plan_.l.factor.rank();
    if (rank > 0) solve(0, rank);
    for (std::int64_t k = rank; k < std::ssize(plan_.columns); ++k) leaf(k, k + 1);
  }

  void write(MatrixView<std::uint8_t> codes) const {
    for (std::int64_t r0 = 0; r0 < codes.rows; r0 += 16)
      for (std::int64_t k = 0; k < feedback_.rows(); ++k)
        for (std::int64_t r = r0; r < std::min(codes.rows, r0 + 16); ++r)
          codes(r, plan_.columns[k]) = static_cast<std::uint8_t>(feedback_(k, r));
  }

  double error(std::int64_t row) const { return error_[row] * plan_.unit * plan_.unit; }
  double clipped(std::int64_t row) const { return clipped_[row]; }

 private:
  void solve(std::int64_t k0, std::int64_t k1) {
    if (k1 - k0 <= kLeafColumns) return leaf(k0, k1);
    const auto leaves = (k1 - k0 + kLeafColumns - 1) / kLeafColumns;
    const auto mid = k0 + (leaves + 1) / 2 * kLeafColumns;
    solve(k0, mid);
    gemm_nn(k1 - mid, kTileRows, mid - k0, T{1}, plan_.l.rows.row(mid) + k0, plan_.l.rows.cols(), w_.row(k0), kTileRows,
            T{1}, feedback_.row(mid), kTileRows);
    solve(mid, k1);
  }

  void leaf(std::int64_t k0, std::int64_t k1) {
    alignas(64) T error[kTileRows] = {}, clipped[kTileRows] = {};
    decide(tile_, k0, k1, error, clipped);
    for (std::int64_t r = 0; r < kTileRows; ++r) {
      error_[r] += static_cast<double>(error[r]);
      clipped_[r] += static_cast<double>(clipped[r]);
    }
  }

  const Plan<T>& plan_;
  Matrix<T> w_, feedback_, step_, zero_;
  Tile<T> tile_;
  double error_[kTileRows] = {}, clipped_[kTileRows] = {};
};

}  // namespace

template <class T>
Outcome nearest_plane(MatrixView<const float> w, const Triangle<T>& l, const Grid& grid,
                      MatrixView<std::uint8_t> codes) {
  assert(w.cols == l.factor.dimension && w.cols == codes.cols && w.rows == codes.rows && w.rows == grid.step.rows());
  const Plan<T> plan(l, grid);
  Outcome out;
  out.error.resize(static_cast<std::size_t>(w.rows));
  std::vector<double> clipped(out.error.size());
  parallel_for((w.rows + kTileRows - 1) / kTileRows, [&](std::int64_t tile) {
    const auto r0 = tile * kTileRows, count = std::min(kTileRows, w.rows - r0);
    TileSolver<T> solver(plan, w.rows_at(r0, count), r0);
    solver.solve();
    solver.write(codes.rows_at(r0, count));
    for (std::int64_t r = 0; r < count; ++r) out.error[r0 + r] = solver.error(r), clipped[r0 + r] = solver.clipped(r);
  });
  for (const auto count : clipped) out.clipped += static_cast<std::int64_t>(count);
  return out;
}

template Outcome nearest_plane(MatrixView<const float>, const Triangle<float>&, const Grid&, MatrixView<std::uint8_t>);
template Outcome nearest_plane(MatrixView<const float>, const Triangle<double>&, const Grid&, MatrixView<std::uint8_t>);

}  // namespace nearplane::lattice
