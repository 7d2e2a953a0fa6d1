// Columns by panels, as kbest.cpp: closed columns, the same for all survivors, feed a panel through one product; open
// ones, different for every survivor, within the kernel. Errors are costs less the price of the bits.
#include "lattice/list_search.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/threads.h"
#include "kernel/gemm.h"
#include "lattice/list_kernel.h"

namespace nearplane::lattice {
namespace {

constexpr std::int64_t kPanel = 128;  // columns; a multiple of kListLeaf, at least kListWindow

template <class T>
struct Plan {
  ListProblem<T> problem;
  Matrix<T> spread;  // the triangle with empty rows and columns for what is outside the order; if anything is
  double unit = 1;   // of pivots, a power of two near the largest
  double price = 0;  // of a bit, in squared units

  Plan(const Triangle<T>& l, const ListOptions& options, const LevelCosts& costs);
};

template <class T>
Plan<T>::Plan(const Triangle<T>& l, const ListOptions& options, const LevelCosts& costs) {
  const auto n = l.factor.dimension, rank = l.factor.rank();
  const auto& exact = l.factor.pivots;
  if (rank > 0) unit = std::ldexp(1.0, std::ilogb(*std::max_element(exact.begin(), exact.end())));
  problem.pivots.assign(static_cast<std::size_t>(n), T{-1});
  double squares = 0;
  for (std::int64_t k = 0; k < rank; ++k) {
    const double pivot = exact[k] / unit;
    problem.pivots[l.factor.order[k]] = static_cast<T>(pivot);
    squares += pivot * pivot;
  }
  if (rank < n) {
    spread = Matrix<T>(n, n);
    for (std::int64_t k = 0; k < rank; ++k)
      for (std::int64_t j = 0; j <= k; ++j) spread(l.factor.order[k], l.factor.order[j]) = l.rows(k, j);
  }
  problem.l = rank < n ? spread.data() : l.rows.data();
  problem.stride = n;
  problem.trellis = options.trellis;
  problem.survivors = options.survivors;
  problem.restart = std::min(options.restart, std::max<std::int64_t>(n, 1));
  if (rank == 0 || options.lambda == 0) return;
  price = options.lambda * squares / static_cast<double>(rank);
  problem.classes = costs.classes;
  problem.reach = costs.reach;
  for (const float bits : costs.bits) problem.prices.push_back(static_cast<T>(price * static_cast<double>(bits)));
  for (const int c : costs.column_class) problem.column_class.push_back(static_cast<T>(c));
  problem.slope = static_cast<T>(price * static_cast<double>(costs.slope));
}

template <class T>
void feed(const ListProblem<T>& problem, Survivors<T>& tile, std::int64_t j0, std::int64_t j1, std::int64_t k0,
          std::int64_t k1) {
  gemm_nn(k1 - k0, kTileRows, j1 - j0, T{1}, problem.l + k0 * problem.stride + j0, problem.stride, tile.t.row(j0),
          kTileRows, T{1}, tile.feedback.row(k0), kTileRows);
}

// cost[kTileRows] += sum e_k^2 + price x bits, in squared units.
template <class T>
void decide_all(const ListProblem<T>& problem, Survivors<T>& tile, double* cost) {
  const auto n = tile.t.rows(), window = problem.slots() == 1 ? 0 : kListWindow;
  alignas(64) T settled[kTileRows];
  for (std::int64_t p0 = 0; p0 < n; p0 += kPanel) {
    const auto p1 = std::min(n, p0 + kPanel);
    if (tile.open > 0) feed(problem, tile, 0, tile.open, p0, p1);
    for (auto k0 = p0, k1 = k0; k0 < p1; k0 = k1) {
      k1 = std::min({p1, k0 + kListLeaf, (k0 / problem.restart + 1) * problem.restart});
      const auto before = tile.open;
      extend(problem, tile, k0, k1, k1 == n ? n : std::max(before, k1 - window), settled);
      for (std::int64_t r = 0; r < kTileRows; ++r) cost[r] += static_cast<double>(settled[r]);
      if (tile.open > before && k1 < p1) feed(problem, tile, before, tile.open, k1, p1);
    }
  }
}

// Code length of a row, by class, quantizer and level.
double bits_of_row(const ListOptions& options, const LevelCosts& costs, std::int64_t row, const std::int16_t* levels,
                   std::int64_t columns) {
  if (costs.classes == 0) return 0;
  double bits = 0;
  std::int64_t beyond = 0;
  for (std::int64_t j = 0; j < columns;) {
    int state = 0;
    for (const auto end = j + std::min(columns - j, options.restart); j < end; ++j) {
      const int kind = std::clamp(costs.row_class[row] - costs.column_class[j], 0, costs.classes - 1);
      const int level = levels[j], inside = std::clamp(level, -costs.reach, costs.reach);
      const int table = 2 * kind + Trellis::quantizer(state);
      bits += static_cast<double>(costs.bits[table * (2 * costs.reach + 1) + costs.reach + inside]);
      beyond += std::abs(level - inside);
      state = options.trellis.next(state, level);
    }
  }
  return bits + static_cast<double>(costs.slope) * static_cast<double>(beyond);
}

void check(MatrixView<const float> t, const Factor& f, const ListOptions& o, const LevelCosts& c) {
  assert(t.cols == f.dimension && std::is_sorted(f.order.begin(), f.order.end()));
  assert(o.survivors >= 1 && o.survivors <= 8 && (o.survivors & (o.survivors - 1)) == 0 && o.restart > 0);
  assert(o.lambda == 0 || c.classes > 0);
  assert(c.classes == 0 || (std::ssize(c.bits) == std::int64_t{c.classes} * 2 * (2 * c.reach + 1) &&
                            std::ssize(c.row_class) == t.rows && std::ssize(c.column_class) == t.cols));
  static_cast<void>(t), static_cast<void>(f), static_cast<void>(o), static_cast<void>(c);
}

// Sixteen rows at a time, a cache line.
template <class T>
void read_rows(MatrixView<const float> t, Survivors<T>& tile) {
  for (std::int64_t r0 = 0; r0 < kTileRows; r0 += 16)
    for (std::int64_t k = 0; k < t.cols; ++k)
      for (auto r = r0; r < r0 + 16; ++r) tile.t(k, r) = r < t.rows ? static_cast<T>(t(r, k)) : T{0};
}
template <class T>
void write_rows(const Survivors<T>& tile, MatrixView<std::int16_t> levels) {
  for (std::int64_t r0 = 0; r0 < levels.rows; r0 += 16)
    for (std::int64_t k = 0; k < levels.cols; ++k)
      for (auto r = r0; r < std::min(levels.rows, r0 + 16); ++r)
        levels(r, k) = static_cast<std::int16_t>(tile.feedback(k, r));
}

}  // namespace

template <class T>
ListOutcome list_search(MatrixView<const float> t, const Triangle<T>& l, const ListOptions& options,
                        const LevelCosts& costs, MatrixView<std::int16_t> levels) {
  check(t, l.factor, options, costs);
  const Plan<T> plan(l, options, costs);
  ListOutcome out;
  out.error.resize(static_cast<std::size_t>(t.rows));
  std::vector<double> bits(out.error.size());
  parallel_for((t.rows + kTileRows - 1) / kTileRows, [&](std::int64_t index) {
    const auto r0 = index * kTileRows, count = std::min(kTileRows, t.rows - r0);
    Survivors<T> tile(t.cols, plan.problem.slots());
    read_rows(t.rows_at(r0, count), tile);
    for (std::int64_t r = 0; r < count && costs.classes > 0; ++r)
      tile.row_class(0, r) = static_cast<T>(costs.row_class[r0 + r]);
    double cost[kTileRows] = {};
    decide_all(plan.problem, tile, cost);
    write_rows(tile, levels.rows_at(r0, count));
    for (std::int64_t r = 0; r < count; ++r) {
      auto& error = out.error[r0 + r];
      if (!std::isfinite(cost[r])) {
        error = cost[r];
        std::fill_n(levels.row(r0 + r), t.cols, std::int16_t{0});
        continue;
      }
      bits[r0 + r] = bits_of_row(options, costs, r0 + r, levels.row(r0 + r), t.cols);
      error = std::max(0.0, cost[r] - plan.price * bits[r0 + r]) * plan.unit * plan.unit;
    }
  });
  for (const double b : bits) out.bits += b;
  return out;
}

template ListOutcome list_search(MatrixView<const float>, const Triangle<float>&, const ListOptions&, const LevelCosts&,
                                 MatrixView<std::int16_t>);
template ListOutcome list_search(MatrixView<const float>, const Triangle<double>&, const ListOptions&,
                                 const LevelCosts&, MatrixView<std::int16_t>);

}  // namespace nearplane::lattice
