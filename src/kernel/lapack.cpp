// Row-major lower triangles are LAPACK's column-major upper ones: nothing is transposed on the way.
#include "kernel/lapack.h"

#include <cblas.h>
#include <lapacke.h>

#include <cassert>

#include "base/check.h"

namespace nearplane {
namespace {

constexpr lapack_int kReflectors = 32;  // that are applied at once

lapack_int narrow(std::int64_t v) { return static_cast<lapack_int>(v); }

void one_thread() { [[maybe_unused]] static const bool done = (openblas_set_num_threads(1), true); }

void check(lapack_int status, const char* what) {
  assert(status >= 0);  // a negative status is a wrong argument
  if (status != 0) throw Error(ErrorCode::numerical, fmt::format("{} did not converge (status {})", what, status));
}

}  // namespace

std::vector<double> symmetric_eigenvalues(Matrix<double> a) {
  one_thread();
  std::vector<double> values(static_cast<std::size_t>(a.cols()));
  const auto n = narrow(a.cols());
  if (n > 0) check(LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'N', 'U', n, a.data(), n, values.data()), "eigenvalues");
  return values;
}

void append_rows(Matrix<double>& rt, Matrix<double>& xt) {
  one_thread();
  assert(rt.rows() == rt.cols() && xt.rows() == rt.rows());
  const auto n = narrow(rt.cols()), b = narrow(xt.cols());
  if (n == 0 || b == 0) return;
  const auto reflectors = std::min(n, kReflectors);
  std::vector<double> blocks(static_cast<std::size_t>(reflectors) * static_cast<std::size_t>(n));
  const auto status =
      LAPACKE_dtpqrt(LAPACK_COL_MAJOR, b, n, 0, reflectors, rt.data(), n, xt.data(), b, blocks.data(), reflectors);
  check(status, "QR");
}

}  // namespace nearplane
