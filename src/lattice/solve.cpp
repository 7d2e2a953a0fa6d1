#include "lattice/solve.h"

#include <cassert>

#include "kernel/gemm.h"

namespace nearplane::lattice {
namespace {

constexpr std::int64_t kSubstitute = 16;  // width below which a triangle is solved by plain loops

// x U = b for U [n,n] lower triangular with ones on its diagonal; b becomes x.
void solve_lower(MatrixView<double> b, MatrixView<const double> u) {
  const std::int64_t n = u.cols, half = n / 2, rest = n - half;
  if (n <= kSubstitute) {
    for (std::int64_t r = 0; r < b.rows; ++r)
      for (std::int64_t k = n - 1; k > 0; --k)
        for (std::int64_t j = 0; j < k; ++j) b(r, j) -= b(r, k) * u(k, j);
    return;
  }
  const auto left = b.block(0, 0, b.rows, half), right = b.block(0, half, b.rows, rest);
  solve_lower(right, u.block(half, half, rest, rest));
  gemm_nn(b.rows, half, rest, -1.0, right.data, right.stride, u.row(half), u.stride, 1.0, left.data, left.stride);
  solve_lower(left, u.block(0, 0, half, half));
}

// x U^T = b for the same U; b becomes x.
void solve_upper(MatrixView<double> b, MatrixView<const double> u) {
  const std::int64_t n = u.cols, half = n / 2, rest = n - half;
  if (n <= kSubstitute) {
    for (std::int64_t r = 0; r < b.rows; ++r)
      for (std::int64_t k = 1; k < n; ++k)
        for (std::int64_t j = 0; j < k; ++j) b(r, k) -= b(r, j) * u(k, j);
    return;
  }
  const auto left = b.block(0, 0, b.rows, half), right = b.block(0, half, b.rows, rest);
  solve_upper(left, u.block(0, 0, half, half));
  gemm_nt(b.rows, rest, half, -1.0, left.data, left.stride, u.row(half), u.stride, 1.0, right.data, right.stride);
  solve_upper(right, u.block(half, half, rest, rest));
}

}  // namespace

void solve_rows(MatrixView<double> b, const Triangle<double>& l) {
  assert(b.cols == l.factor.rank());
  // L = P U with the pivots P: L^T L = U^T P^2 U, and x U^T P^2 U = b is solved from the right.
  solve_lower(b, l.rows.view());
  for (std::int64_t r = 0; r < b.rows; ++r)
    for (std::int64_t k = 0; k < b.cols; ++k) b(r, k) /= l.factor.pivots[k] * l.factor.pivots[k];
  solve_upper(b, l.rows.view());
}

}  // namespace nearplane::lattice
