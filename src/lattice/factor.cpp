#include "lattice/factor.h"

#include <cassert>
#include <cmath>
#include <utility>

#include "base/threads.h"
#include "lattice/cholesky.h"

namespace nearplane::lattice {
namespace {

constexpr int kRungs = 8;  // tenfold steps before the matrix is made diagonally dominant
constexpr std::int64_t kTile = 64;

double lower(const Matrix<double>& h, std::int64_t i, std::int64_t j) { return i >= j ? h(i, j) : h(j, i); }

// Lower triangle of the permuted, reversed and shifted matrix: entry (a, b) belongs to positions r-1-a and r-1-b.
Matrix<double> reversed(const Matrix<double>& h, const std::vector<std::int64_t>& order, double shift) {
  const auto r = static_cast<std::int64_t>(order.size());
  auto a = Matrix<double>::uninitialized(r, r);
  parallel_for(r, [&](std::int64_t i) {
    const auto from = order[r - 1 - i];
    for (std::int64_t j = 0; j <= i; ++j) a(i, j) = lower(h, from, order[r - 1 - j]);
    a(i, i) += shift;
  });
  return a;
}

double mean_diagonal(const Matrix<double>& h, const std::vector<std::int64_t>& order) {
  double sum = 0;
  for (const auto j : order) sum += h(j, j);
  return order.empty() ? 0.0 : sum / static_cast<double>(order.size());
}

// Twice the largest sum of a row beside the diagonal: with it on the diagonal every matrix is positive definite.
double dominant_shift(const Matrix<double>& h, const std::vector<std::int64_t>& order) {
  double largest = 0;
  for (const auto i : order) {
    double sum = 0;
    for (const auto j : order)
      if (j != i) sum += std::abs(lower(h, i, j));
    largest = std::max(largest, sum);
  }
  return 2 * largest;
}

}  // namespace

template <class T>
Triangle<T> triangle_of_reversed(const Matrix<double>& m, Factor factor) {
  const std::int64_t r = m.rows(), tiles = (r + kTile - 1) / kTile;
  Triangle<T> out{.factor = std::move(factor), .rows = Matrix<T>(r, r)};
  auto& pivots = out.factor.pivots;
  pivots.resize(static_cast<std::size_t>(r));
  for (std::int64_t k = 0; k < r; ++k) pivots[k] = m(r - 1 - k, r - 1 - k);
  parallel_for(tiles, [&](std::int64_t tile) {  // row tiles of L are column tiles of M: walk both in squares
    for (std::int64_t j0 = 0; j0 <= tile * kTile; j0 += kTile)
      for (std::int64_t k = tile * kTile; k < std::min(r, (tile + 1) * kTile); ++k)
        for (std::int64_t j = j0; j < std::min(k + 1, j0 + kTile); ++j)
          out.rows(k, j) = static_cast<T>(m(r - 1 - j, r - 1 - k) / pivots[k]);
  });
  return out;
}

template <class T>
Triangle<T> factorize(const Matrix<double>& h, const std::vector<std::int64_t>& order, double damping) {
  assert(h.rows() == h.cols());
  Factor factor;
  factor.dimension = h.cols();
  factor.order = order;
  const double mean = mean_diagonal(h, order);
  for (factor.damping = damping;; ++factor.repairs) {
    factor.shift = factor.damping * mean;
    auto m = reversed(h, order, factor.shift);
    if (cholesky(m)) return triangle_of_reversed<T>(m, std::move(factor));
    factor.damping = std::max(10 * factor.damping, 1e-8);
    if (factor.repairs + 1 >= kRungs) factor.damping = std::max(factor.damping, dominant_shift(h, order) / mean);
  }
}

template Triangle<float> triangle_of_reversed(const Matrix<double>&, Factor);
template Triangle<double> triangle_of_reversed(const Matrix<double>&, Factor);
template Triangle<float> factorize(const Matrix<double>&, const std::vector<std::int64_t>&, double);
template Triangle<double> factorize(const Matrix<double>&, const std::vector<std::int64_t>&, double);

}  // namespace nearplane::lattice
