// Both solvers start from nearest plane's point z0 and look for a lattice vector near the residual L (t - z0), which is
// small however far the target lies from the origin.
#include <algorithm>
#include <cmath>

#include "lattice/reduction.h"

namespace nearplane::lattice {
namespace {

using Vector = std::vector<double>;

double dot(const double* a, const double* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// Basis vectors as rows: L z = sum_j z_j (column j of L). `extra` rows and columns of zeros at the end.
Matrix<double> columns_as_rows(const Matrix<double>& l, std::int64_t extra) {
  const auto n = l.cols();
  Matrix<double> rows(n + extra, n + extra);
  for (std::int64_t j = 0; j < n; ++j)
    for (std::int64_t i = j; i < n; ++i) rows(j, i) = l(i, j);
  return rows;
}

Vector residual_of(const ClosestVector& p, const std::vector<std::int64_t>& codes) {
  Vector out(p.target.size());
  for (std::int64_t k = 0; k < p.size(); ++k)
    for (std::int64_t j = 0; j <= k; ++j) out[k] += p.l(k, j) * (p.target[j] - static_cast<double>(codes[j]));
  return out;
}

// The rows of `basis` made orthogonal to the rows before them; twice is enough for doubles.
Matrix<double> orthogonal_parts(const Matrix<double>& basis) {
  const auto n = basis.rows();
  auto q = basis.clone();
  for (std::int64_t k = 0; k < n; ++k)
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t j = 0; j < k; ++j) {
        const double share = dot(q.row(k), q.row(j), n) / dot(q.row(j), q.row(j), n);
        for (std::int64_t i = 0; i < n; ++i) q(k, i) -= share * q(j, i);
      }
  return q;
}

// Babai's coefficients of the rows of `basis`, the last row decided first.
Vector plane_coefficients(const Matrix<double>& basis, Vector residual) {
  const auto n = basis.rows();
  const auto q = orthogonal_parts(basis);
  Vector out(residual.size());
  for (auto k = n - 1; k >= 0; --k) {
    out[k] = std::nearbyint(dot(residual.data(), q.row(k), n) / dot(q.row(k), q.row(k), n));
    for (std::int64_t i = 0; i < n; ++i) residual[i] -= out[k] * basis(k, i);
  }
  return out;
}

bool in_range(const ClosestVector& p, const std::vector<std::int64_t>& codes) {
  return std::all_of(codes.begin(), codes.end(), [&](auto z) { return z >= p.low && z <= p.high; });
}

ClosestVector unbounded(const ClosestVector& p) { return {.l = p.l.clone(), .target = p.target}; }

}  // namespace

ReducedSolution reduced_plane(const ClosestVector& problem, int block) {
  const auto n = problem.size();
  ReducedSolution out{nearest_plane(unbounded(problem)), 0};
  const auto rows = columns_as_rows(problem.l, 0);
  const auto u = reduce(rows, block);
  Matrix<double> reduced(n, n);
  for (std::int64_t k = 0; k < n; ++k)
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t i = 0; i < n; ++i) reduced(k, i) += static_cast<double>(u(k, j)) * rows(j, i);
  const auto coefficients = plane_coefficients(reduced, residual_of(problem, out.solution.codes));
  for (std::int64_t k = 0; k < n; ++k)
    for (std::int64_t j = 0; j < n; ++j) out.solution.codes[j] += static_cast<std::int64_t>(coefficients[k]) * u(k, j);
  out.solution.optimal = false;
  out.solution.nodes += n;
  out.solution.error = error_of(problem, out.solution.codes);
  for (const auto z : out.solution.codes) out.overflow += z < problem.low || z > problem.high;
  return out;
}

Solution kannan(const ClosestVector& problem, int block) {
  const auto n = problem.size();
  Solution best = nearest_plane(problem);
  if (n == 0 || !(best.error > 0)) return best;
  const auto start = best.codes;
  const auto residual = residual_of(problem, start);
  auto rows = columns_as_rows(problem.l, 1);
  std::copy(residual.begin(), residual.end(), rows.row(n));
  rows(n, n) = std::sqrt(best.error / static_cast<double>(n));  // about one coordinate of the vector looked for
  const auto u = reduce(rows, block);
  for (std::int64_t k = 0; k <= n; ++k) {
    if (std::abs(u(k, n)) != 1) continue;
    auto codes = start;
    for (std::int64_t j = 0; j < n; ++j) codes[j] -= u(k, j) * u(k, n);
    if (!in_range(problem, codes)) continue;
    if (const double error = error_of(problem, codes); error < best.error) best.error = error, best.codes = codes;
  }
  best.optimal = false;
  best.nodes += n + 1;
  return best;
}

}  // namespace nearplane::lattice
