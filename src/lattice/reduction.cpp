// The only file that sees fplll. fplll ends the process on input it dislikes, so everything is checked before.
#include "lattice/reduction.h"

#include <fplll.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace nearplane::lattice {
namespace {

constexpr int kShortest = 30;    // log2 of the length of the smallest scaled row
constexpr double kWidest = 200;  // log2 of the largest ratio of lengths
constexpr double kDelta = 0.99;

double largest_of(const double* row, std::int64_t n) {
  double largest = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    if (!std::isfinite(row[j])) fail_input("reduction", "an entry of the basis is {}", row[j]);
    largest = std::max(largest, std::abs(row[j]));
  }
  return largest;
}

// The exponent of the power of two that makes every row at least 2^kShortest long.
int scaling(const Matrix<double>& basis) {
  double smallest = INFINITY, largest = 0;
  for (std::int64_t i = 0; i < basis.rows(); ++i) {
    const double length = largest_of(basis.row(i), basis.cols());
    if (!(length > 0)) fail_input("reduction", "vector {} of the basis is zero", i);
    smallest = std::min(smallest, length), largest = std::max(largest, length);
  }
  if (std::log2(largest) - std::log2(smallest) > kWidest)
    fail_input("reduction", "lengths from {} to {} are more than 2^200 apart", smallest, largest);
  return kShortest - std::ilogb(smallest);
}

}  // namespace

Matrix<std::int64_t> reduce(const Matrix<double>& basis, int block) {
  const auto n = basis.rows();
  if (basis.cols() != n) fail_input("reduction", "a basis of {} x {} is not square", n, basis.cols());
  if (n > kLargestReduction) fail_input("reduction", "{} vectors are more than {}", n, kLargestReduction);
  if (block != 0 && (block < 2 || block > 40)) fail_input("reduction", "blocks of {} are outside 2 to 40", block);
  Matrix<std::int64_t> out(n, n);
  if (n == 0) return out;
  const int exponent = scaling(basis);
  const auto size = static_cast<int>(n);
  fplll::ZZ_mat<mpz_t> b(size, size), u;
  u.gen_identity(size);
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) mpz_set_d(b[i][j].get_data(), std::ldexp(basis(i, j), exponent));
  const int status =  // BKZ begins with LLL; called after it, it would start U anew
      block == 0 || size < 2
          ? fplll::lll_reduction(b, u, kDelta, fplll::LLL_DEF_ETA, fplll::LM_WRAPPER, fplll::FT_DEFAULT, 0,
                                 fplll::LLL_DEFAULT)
          : fplll::bkz_reduction(b, u, std::min(block, size), fplll::BKZ_DEFAULT, fplll::FT_DEFAULT, 0);
  if (status != fplll::RED_SUCCESS) fail_input("reduction", "fplll gave up: {}", fplll::get_red_status_str(status));
  for (int i = 0; i < size; ++i) {
    if (b[i].is_zero()) fail_input("reduction", "the vectors of the basis are dependent");
    for (int j = 0; j < size; ++j) {
      if (mpz_fits_slong_p(u[i][j].get_data()) == 0) fail_input("reduction", "a coefficient exceeds 64 bits");
      out(i, j) = u[i][j].get_si();
    }
  }
  return out;
}

}  // namespace nearplane::lattice
