#include "lattice/error.h"

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernel/gemm.h"

namespace nearplane::lattice {
namespace {

constexpr std::int64_t kRows = 256;   // rows of d in a task
constexpr std::int64_t kBlock = 256;  // rows of H in a product

// A power of two near the largest diagonal entry, which bounds every entry of a Gram matrix: divided by it, H fits T.
double magnitude(const Matrix<double>& h) {
  double largest = 0;
  for (std::int64_t j = 0; j < h.cols(); ++j) largest = std::max(largest, h(j, j));
  return largest > 0 ? std::ldexp(1.0, std::ilogb(largest)) : 1.0;
}

// Rows [i0, i0 + count) of H x scale up to the end of the diagonal block, so that sum_i d_i (block d)_i over all blocks
// is d^T H d: entries before the block stand for their mirror images, too.
template <class T>
void doubled_block(const Matrix<double>& h, double scale, std::int64_t i0, std::int64_t count, T* out) {
  const auto width = i0 + count;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t j = 0; j < i0; ++j) out[i * width + j] = static_cast<T>(2 * scale * h(i0 + i, j));
    for (std::int64_t j = i0; j < width; ++j)
      out[i * width + j] = static_cast<T>(scale * (j <= i0 + i ? h(i0 + i, j) : h(j, i0 + i)));
  }
}

template <class T>
void tile_errors(MatrixView<const float> d, const Matrix<double>& h, double unit, double* errors) {
  const std::int64_t n = d.cols;
  auto wide = Matrix<T>::uninitialized(d.rows, n);
  for (std::int64_t r = 0; r < d.rows; ++r)
    for (std::int64_t j = 0; j < n; ++j) wide(r, j) = static_cast<T>(d(r, j));
  auto block = Matrix<T>::uninitialized(kBlock, n);
  auto product = Matrix<T>::uninitialized(d.rows, kBlock);
  for (std::int64_t i0 = 0; i0 < n; i0 += kBlock) {
    const auto count = std::min(kBlock, n - i0), width = i0 + count;
    doubled_block(h, 1 / unit, i0, count, block.data());
    gemm_nt(d.rows, count, width, T{1}, wide.data(), n, block.data(), width, T{0}, product.data(), kBlock);
    for (std::int64_t r = 0; r < d.rows; ++r)
      for (std::int64_t i = 0; i < count; ++i)
        errors[r] += static_cast<double>(product(r, i)) * static_cast<double>(d(r, i0 + i));
  }
  for (std::int64_t r = 0; r < d.rows; ++r) errors[r] *= unit;
}

}  // namespace

template <class T>
std::vector<double> row_errors(MatrixView<const float> d, const Matrix<double>& h) {
  std::vector<double> errors(static_cast<std::size_t>(d.rows));
  const double unit = magnitude(h);
  parallel_for((d.rows + kRows - 1) / kRows, [&](std::int64_t tile) {
    const auto r0 = tile * kRows;
    tile_errors<T>(d.rows_at(r0, std::min(kRows, d.rows - r0)), h, unit, errors.data() + r0);
  });
  return errors;
}

template std::vector<double> row_errors<float>(MatrixView<const float>, const Matrix<double>&);
template std::vector<double> row_errors<double>(MatrixView<const float>, const Matrix<double>&);

}  // namespace nearplane::lattice
