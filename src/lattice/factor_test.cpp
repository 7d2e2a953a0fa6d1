#include "lattice/factor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/threads.h"
#include "lattice/cholesky.h"
#include "lattice/order.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

TEST(Cholesky, KnownFactor) {
  Matrix<double> a(2, 2);
  a(0, 0) = 4, a(1, 0) = 6, a(1, 1) = 25, a(0, 1) = -77;
  ASSERT_TRUE(cholesky(a));
  EXPECT_EQ(a(0, 0), 2);
  EXPECT_EQ(a(1, 0), 3);
  EXPECT_EQ(a(1, 1), 4);
  EXPECT_EQ(a(0, 1), -77);  // not part of the matrix
}

TEST(Cholesky, RefusesWhatIsNotPositiveDefinite) {
  for (const double pivot : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
    auto a = random_gram(150, 300, 1);
    a(140, 140) = pivot;
    EXPECT_FALSE(cholesky(a)) << pivot;
  }
}

// L^T L = permuted H + shift I, entry by entry.
double reconstruction_error(const Matrix<double>& h, const Triangle<double>& l) {
  const auto r = l.factor.rank();
  double worst = 0;
  for (std::int64_t a = 0; a < r; ++a)
    for (std::int64_t b = 0; b <= a; ++b) {
      double sum = 0;
      for (std::int64_t k = a; k < r; ++k) sum += l.factor.pivots[k] * l.factor.pivots[k] * l.rows(k, a) * l.rows(k, b);
      const auto i = l.factor.order[a], j = l.factor.order[b];
      const double want = h(std::max(i, j), std::min(i, j)) + (a == b ? l.factor.shift : 0.0);
      worst = std::max(worst, std::abs(sum - want));
    }
  return worst;
}

TEST(Factor, RebuildsTheMatrixForSizesAroundTheBlocks) {
  for (const std::int64_t n : {1, 2, 15, 17, 127, 128, 129, 300}) {
    const auto h = random_gram(n, 2 * n, static_cast<std::uint64_t>(n));
    for (const auto& order : {natural_order(h), decreasing_diagonal_order(h)}) {
      const auto l = factorize<double>(h, order, 0.01);
      EXPECT_EQ(l.factor.rank(), n);
      EXPECT_EQ(l.factor.repairs, 0);
      EXPECT_LT(reconstruction_error(h, l), 1e-11 * static_cast<double>(n * n)) << n;
      for (std::int64_t k = 0; k < n; ++k) EXPECT_EQ(l.rows(k, k), 1.0);
    }
  }
}

TEST(Factor, ProductOfPivotsDoesNotDependOnTheOrder) {
  const auto h = random_gram(40, 90, 3);
  const auto log_det = [](const Factor& f) {
    double sum = 0;
    for (const double pivot : f.pivots) sum += 2 * std::log(pivot);
    return sum;
  };
  EXPECT_NEAR(log_det(factorize<double>(h, natural_order(h), 0.01).factor),
              log_det(factorize<double>(h, decreasing_diagonal_order(h), 0.01).factor), 1e-10);
}

TEST(Factor, SameBitsForAnyNumberOfThreads) {
  const auto h = random_gram(700, 900, 4);
  set_thread_count(1);
  const auto one = factorize<double>(h, natural_order(h), 0.01);
  for (const int threads : {2, 3}) {
    set_thread_count(threads);
    const auto many = factorize<double>(h, natural_order(h), 0.01);
    EXPECT_TRUE(std::equal(one.rows.span().begin(), one.rows.span().end(), many.rows.span().begin()));
    EXPECT_EQ(one.factor.pivots, many.factor.pivots);
  }
  set_thread_count(0);
}

TEST(Factor, SingularNeedsNoRepairWithDamping) {
  const auto h = random_gram(50, 7, 5);  // rank 7
  const auto l = factorize<double>(h, natural_order(h), 0.01);
  EXPECT_EQ(l.factor.repairs, 0);
  EXPECT_EQ(l.factor.damping, 0.01);
  EXPECT_LT(reconstruction_error(h, l), 1e-10);
}

TEST(Factor, LadderIsClimbedAndRecorded) {
  Matrix<double> h(2, 2);  // eigenvalues 1.5 and -0.5
  h(0, 0) = h(1, 1) = 0.5, h(1, 0) = 1;
  const auto l = factorize<double>(h, natural_order(h), 0.01);
  EXPECT_EQ(l.factor.repairs, 3);  // 0.1 and 1 leave it singular or worse, 10 does not
  EXPECT_NEAR(l.factor.damping, 10, 1e-12);
  EXPECT_NEAR(l.factor.shift, 5, 1e-12);
  EXPECT_LT(reconstruction_error(h, l), 1e-12);
}

TEST(Factor, LastRungAlwaysSucceeds) {
  for (const double huge : {1.0, 1e30, 1e150}) {
    Matrix<double> h(60, 60);  // as far from a Gram matrix as it gets
    Rng rng(6);
    for (auto& value : h.span()) value = huge * rng.normal();
    for (std::int64_t j = 0; j < 60; ++j) h(j, j) = huge * 1e-30;
    const auto l = factorize<float>(h, natural_order(h), 0.01);
    EXPECT_GT(l.factor.repairs, 0);
    for (const double pivot : l.factor.pivots) EXPECT_TRUE(pivot > 0 && std::isfinite(pivot)) << huge;
    for (const float value : l.rows.span()) EXPECT_TRUE(std::isfinite(value)) << huge;
  }
}

TEST(Factor, UndampedSingularStartsTheLadderAtItsFirstRung) {
  Matrix<double> h(2, 2);
  h(0, 0) = h(1, 0) = h(1, 1) = 1;
  const auto l = factorize<double>(h, natural_order(h), 0.0);
  EXPECT_EQ(l.factor.repairs, 1);
  EXPECT_EQ(l.factor.damping, 1e-8);
}

TEST(Order, DeadCoordinatesAreLeftOutAndTiesKeepTheirIndex) {
  Matrix<double> h(5, 5);
  h(0, 0) = 2, h(1, 1) = 0, h(2, 2) = 7, h(3, 3) = 2, h(4, 4) = 0;
  EXPECT_EQ(natural_order(h), (std::vector<std::int64_t>{0, 2, 3}));
  EXPECT_EQ(decreasing_diagonal_order(h), (std::vector<std::int64_t>{2, 0, 3}));
  const auto l = factorize<double>(h, decreasing_diagonal_order(h), 0.0);
  EXPECT_NEAR(l.factor.pivots[0], std::sqrt(7.0), 1e-15);
  EXPECT_EQ(factorize<double>(Matrix<double>(3, 3), {}, 0.01).factor.rank(), 0);
}

}  // namespace
}  // namespace nearplane::lattice
