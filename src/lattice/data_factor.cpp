#include "lattice/data_factor.h"

#include <cassert>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/threads.h"
#include "kernel/gemm.h"
#include "kernel/lapack.h"

namespace nearplane::lattice {
namespace {

constexpr std::int64_t kRows = 256;      // that are appended at once
constexpr double kLargestEntry = 1e100;  // squares and their sums stay finite

template <class T>
void check_rows(MatrixView<const T> x, std::int64_t first, const std::string& where) {
  for (std::int64_t t = 0; t < x.rows; ++t)
    for (std::int64_t j = 0; j < x.cols; ++j)
      if (!(std::abs(static_cast<double>(x(t, j))) <= kLargestEntry))
        throw Error(ErrorCode::numerical, fmt::format("row {}, column {} is {}", first + t, j, x(t, j)), where);
}

// Whether every pivot is more than what rounding leaves of a column that the others explain fully; makes them positive.
bool settle(Matrix<double>& m, const std::vector<double>& norms) {
  const auto r = m.rows();
  for (std::int64_t a = 0; a < r; ++a) {
    if (!(std::abs(m(a, a)) > 1e-15 * static_cast<double>(r) * norms[a])) return false;
    if (m(a, a) > 0) continue;
    for (std::int64_t i = a; i < r; ++i) m(i, a) = -m(i, a);
  }
  return true;
}

}  // namespace

template <class T>
void DataFactor::add(MatrixView<const T> x, const std::string& where) {
  assert(x.cols == rt_.cols());
  check_rows(x, count_, where);
  for (std::int64_t t0 = 0; t0 < x.rows; t0 += kRows) {
    const auto count = std::min(kRows, x.rows - t0);
    auto xt = Matrix<double>::uninitialized(x.cols, count);
    for (std::int64_t t = 0; t < count; ++t)
      for (std::int64_t j = 0; j < x.cols; ++j) xt(j, t) = static_cast<double>(x(t0 + t, j));
    append_rows(rt_, xt);
  }
  count_ += x.rows;
}

Matrix<double> DataFactor::gram() const {
  const auto n = rt_.cols();
  auto h = Matrix<double>::uninitialized(n, n);
  parallel_for((n + kRows - 1) / kRows, [&](std::int64_t tile) {
    const auto r0 = tile * kRows;
    gemm_nt(std::min(kRows, n - r0), n, n, 1.0, rt_.row(r0), n, rt_.data(), n, 0.0, h.row(r0), n);
  });
  return h;
}

template <class T>
Triangle<T> DataFactor::factorize(const std::vector<std::int64_t>& order, double damping) const {
  const auto r = std::ssize(order), n = rt_.cols();
  Factor factor{.dimension = n, .order = order, .pivots = {}, .damping = damping};
  std::vector<double> norms;  // of the columns, from the last decided to the first, as QR wants them
  for (std::int64_t a = 0; a < r; ++a) {
    const double* column = rt_.row(order[r - 1 - a]);
    norms.push_back(std::sqrt(std::inner_product(column, column + n, column, 0.0)));
  }
  const double mean =
      r == 0 ? 0.0 : std::inner_product(norms.begin(), norms.end(), norms.begin(), 0.0) / static_cast<double>(r);
  for (;; ++factor.repairs, factor.damping = std::max(10 * factor.damping, 1e-8)) {
    factor.shift = factor.damping * mean;
    Matrix<double> m(r, r), columns(r, n);
    for (std::int64_t a = 0; a < r; ++a) m(a, a) = std::sqrt(factor.shift);
    for (std::int64_t a = 0; a < r; ++a) std::copy_n(rt_.row(order[r - 1 - a]), n, columns.row(a));
    append_rows(m, columns);
    if (settle(m, norms)) return triangle_of_reversed<T>(m, std::move(factor));
  }
}

std::vector<double> DataFactor::row_errors(MatrixView<const float> d) const {
  const auto n = rt_.cols();
  std::vector<double> errors(static_cast<std::size_t>(d.rows));
  parallel_for((d.rows + kRows - 1) / kRows, [&](std::int64_t tile) {
    const auto r0 = tile * kRows, count = std::min(kRows, d.rows - r0);
    auto wide = Matrix<double>::uninitialized(count, n), product = Matrix<double>::uninitialized(count, n);
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t j = 0; j < n; ++j) wide(i, j) = static_cast<double>(d(r0 + i, j));
    gemm_nn(count, n, n, 1.0, wide.data(), n, rt_.data(), n, 0.0, product.data(), n);
    for (std::int64_t i = 0; i < count; ++i)
      errors[r0 + i] = std::inner_product(product.row(i), product.row(i) + n, product.row(i), 0.0);
  });
  return errors;
}

template void DataFactor::add(MatrixView<const float>, const std::string&);
template void DataFactor::add(MatrixView<const double>, const std::string&);
template Triangle<float> DataFactor::factorize(const std::vector<std::int64_t>&, double) const;
template Triangle<double> DataFactor::factorize(const std::vector<std::int64_t>&, double) const;

}  // namespace nearplane::lattice
