#include "lattice/cholesky.h"

#include <cmath>

#include "base/threads.h"
#include "kernel/gemm.h"

namespace nearplane::lattice {
namespace {

constexpr std::int64_t kBlock = 128;    // columns of one step
constexpr std::int64_t kRowTile = 256;  // rows of one task

double dot(const double* x, const double* y, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// One diagonal block d [n,n], unblocked.
bool factor_diagonal(MatrixView<double> d) {
  for (std::int64_t j = 0; j < d.rows; ++j) {
    const double pivot = d(j, j) - dot(d.row(j), d.row(j), j);
    if (!(pivot > 0) || !std::isfinite(pivot)) return false;
    d(j, j) = std::sqrt(pivot);
    for (std::int64_t i = j + 1; i < d.rows; ++i) d(i, j) = (d(i, j) - dot(d.row(i), d.row(j), j)) / d(j, j);
  }
  return true;
}

// rows -= (what the columns before k0 already explain), for columns [k0, k0 + width)
void subtract_earlier(MatrixView<double> rows, std::int64_t k0, std::int64_t width, const double* pivot_rows) {
  if (k0 == 0) return;
  gemm_nt(rows.rows, width, k0, -1.0, rows.data, rows.stride, pivot_rows, rows.stride, 1.0, rows.data + k0,
          rows.stride);
}

}  // namespace

bool cholesky(Matrix<double>& a) {
  const std::int64_t n = a.rows();
  for (std::int64_t k0 = 0; k0 < n; k0 += kBlock) {
    const std::int64_t width = std::min(kBlock, n - k0), below = k0 + width;
    const auto pivot_rows = a.view().rows_at(k0, width);
    // The product writes the strict upper part of the diagonal block, too: work on a copy of the block.
    Matrix<double> diagonal = Matrix<double>::uninitialized(width, width);
    for (std::int64_t i = 0; i < width; ++i)
      for (std::int64_t j = 0; j < width; ++j) diagonal(i, j) = j <= i ? pivot_rows(i, k0 + j) : 0.0;
    if (k0 > 0) gemm_nt(width, width, k0, -1.0, pivot_rows.data, n, pivot_rows.data, n, 1.0, diagonal.data(), width);
    if (!factor_diagonal(diagonal.view())) return false;
    for (std::int64_t i = 0; i < width; ++i) std::copy_n(diagonal.row(i), i + 1, pivot_rows.row(i) + k0);

    parallel_for((n - below + kRowTile - 1) / kRowTile, [&](std::int64_t tile) {
      const std::int64_t r0 = below + tile * kRowTile;
      const auto rows = a.view().rows_at(r0, std::min(kRowTile, n - r0));
      subtract_earlier(rows, k0, width, pivot_rows.data);
      solve_lower_transposed(rows.rows, width, diagonal.data(), width, rows.data + k0, n);
    });
  }
  return true;
}

}  // namespace nearplane::lattice
