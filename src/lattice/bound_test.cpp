#include "lattice/bound.h"

#include <gtest/gtest.h>

#include <cmath>

#include "lattice/nearest_plane.h"
#include "lattice/order.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

double limit(std::vector<double> lambda, std::vector<double> variances, double bits) {
  return error_limit(std::move(lambda), variances, bits);
}

TEST(ErrorBound, DiagonalMatrixByHand) {
  Matrix<double> h(3, 3);
  h(0, 0) = 1, h(1, 1) = 4, h(2, 2) = 9;
  Grid grid{.group = 3, .max_code = 15, .step = {2, 1}, .zero = {2, 1}};
  grid.step(0, 0) = 1, grid.step(1, 0) = 2;
  EXPECT_DOUBLE_EQ(error_bound(factorize<double>(h, natural_order(h), 0).factor, grid), 14.0 / 4 * (1 + 4));
  grid.group = 1, grid.step = Matrix<float>(1, 3), grid.zero = Matrix<float>(1, 3);
  grid.step(0, 0) = 3, grid.step(0, 1) = 2, grid.step(0, 2) = 1;
  EXPECT_DOUBLE_EQ(error_bound(factorize<double>(h, {2, 0, 1}, 0).factor, grid), (9.0 * 1 + 4 * 4 + 1 * 9) / 4);
}

TEST(ErrorBound, DependsOnTheOrderInASkewPlane) {
  // [[5, 2], [2, 4]]: deciding 0 first leaves pivots 2^2 and 2^2 (the least sum for det 16), 1 first 16/5 and 5.
  Matrix<double> h(2, 2);
  h(0, 0) = 5, h(1, 0) = 2, h(1, 1) = 4;
  Grid grid{.group = 2, .max_code = 15, .step = {1, 1}, .zero = {1, 1}};
  grid.step(0, 0) = 1;
  EXPECT_DOUBLE_EQ(error_bound(factorize<double>(h, {0, 1}, 0).factor, grid), 2.0);
  EXPECT_DOUBLE_EQ(error_bound(factorize<double>(h, {1, 0}, 0).factor, grid), (3.2 + 5) / 4);
}

// The target at the far corner of the box that nearest plane decides for: every c_k half a step from its point.
TEST(ErrorBound, IsAttained) {
  const std::int64_t n = 12;
  const auto h = random_gram(n, 30, 1);
  const auto l = factorize<double>(h, natural_order(h), 0.01);
  Grid grid{.group = n, .max_code = 255, .step = {1, 1}, .zero = {1, 1}};
  grid.step(0, 0) = 0.25f, grid.zero(0, 0) = 128;
  std::vector<double> d(n);  // w - q with c_k - q_k = just under half a step
  for (std::int64_t k = 0; k < n; ++k) {
    d[k] = 0.125 * (1 - 1e-5);
    for (std::int64_t j = 0; j < k; ++j) d[k] -= l.rows(k, j) * d[j];
  }
  Matrix<float> w(1, n);
  for (std::int64_t k = 0; k < n; ++k) w(0, k) = static_cast<float>(d[k]);
  Matrix<std::uint8_t> codes(1, n);
  const auto outcome = nearest_plane<double>(w.view(), l, grid, codes.view());
  for (std::int64_t k = 0; k < n; ++k) EXPECT_EQ(int{codes(0, k)}, 128);
  const double bound = error_bound(l.factor, grid);
  EXPECT_LE(outcome.error[0], bound);
  EXPECT_GT(outcome.error[0], (1 - 1e-4) * bound);
}

TEST(LogDeterminant, IsTheSameForEveryOrder) {
  Matrix<double> h(2, 2);
  h(0, 0) = 5, h(1, 0) = 2, h(1, 1) = 4;
  EXPECT_NEAR(log_determinant(factorize<double>(h, {0, 1}, 0).factor), std::log(16.0), 1e-14);
  EXPECT_NEAR(log_determinant(factorize<double>(h, {1, 0}, 0).factor), std::log(16.0), 1e-14);
}

TEST(ErrorLimit, WhiteSourceLosesSixDecibelPerBit) {
  for (const double bits : {0.0, 0.5, 1.0, 3.0, 20.0})
    EXPECT_NEAR(limit({7, 7, 7}, {2}, bits), 3 * 2 * 7 * std::exp2(-2 * bits), 1e-11) << bits;
}

TEST(ErrorLimit, HighRateIsTheDeterminant) {
  // All components wet: n v det^(1/n) 2^(-2R), rows of variance 1 and 16 share the bits.
  const std::vector<double> values{1, 2, 8, 16};
  const double det = std::pow(256.0, 0.25);
  EXPECT_NEAR(limit(values, {3}, 4), 4 * 3 * det * std::exp2(-8), 1e-12);
  EXPECT_NEAR(limit(values, {1, 16}, 6), 2 * 4 * 4 * det * std::exp2(-12), 1e-12);
}

TEST(ErrorLimit, LowRateFloodsTheSmallEigenvalues) {
  // lambda = 16 and 1 at half a bit per weight: the one bit goes to the first, 16 -> 4; the second stays dry.
  EXPECT_NEAR(limit({1, 16}, {1}, 0.5), 4 + 1, 1e-11);
  EXPECT_NEAR(limit({1, 16}, {1}, 1.0), 1 + 1, 1e-11);  // exactly at the edge
  EXPECT_NEAR(limit({0, 4}, {1}, 1.0), 0.25, 1e-12);    // a null direction costs nothing and needs nothing
  EXPECT_NEAR(limit({1, 16}, {1, 0}, 0.25), 5, 1e-11);  // a row of zeros lends its bits
}

TEST(ErrorLimit, DegenerateProblemsHaveNone) {
  EXPECT_EQ(limit({}, {1}, 3), 0);
  EXPECT_EQ(limit({1, 2}, {}, 3), 0);
  EXPECT_EQ(limit({0, 0}, {1}, 3), 0);
  EXPECT_EQ(limit({1, 2}, {0}, 3), 0);
  std::vector<double> rank_one(1000);
  rank_one.back() = 1;  // 3000 bits for one number
  EXPECT_LT(limit(rank_one, {1}, 3), 1e-300);
  EXPECT_NEAR(limit({1e200, 1e200}, {1}, 1), 2 * 1e200 / 4, 1e188);
  EXPECT_NEAR(limit({1e-200, 1e-200}, {1}, 1), 2 * 1e-200 / 4, 1e-212);
}

TEST(ErrorLimit, EqualsTheDirectSumOnARandomProblem) {
  const auto lambda = eigenvalues(random_gram(50, 60, 5));
  const std::vector<double> variances{0.3, 1, 2.5};
  for (const double bits : {0.2, 1.0, 2.5}) {
    const double error = error_limit(lambda, variances, bits);
    double best = 0;  // the Lagrangian bound, largest over water levels: equal at the optimum
    for (double level = 1e-6; level < 1e4; level *= 1.001) {
      double rate = 0, sum = 0;
      for (const double v : variances)
        for (const double l : lambda) {
          rate += std::max(0.0, std::log2(v * l / level) / 2);
          sum += std::min(v * l, level);
        }
      best = std::max(best, sum + 2 * std::log(2.0) * level * (rate - bits * 150));
    }
    EXPECT_NEAR(error, best, 1e-5 * best) << bits;
  }
}

TEST(ErrorLimit, PivotsGiveTheSameAtHighRateAndLessBelow) {
  const auto h = random_gram(60, 70, 6);
  const std::vector<double> variances{1, 3};
  for (const double bits : {0.0, 0.5, 1.0, 2.0, 3.0}) {
    const double exact = error_limit(eigenvalues(h), variances, bits);
    EXPECT_LT(error_limit(squared_pivots(h), variances, bits), exact) << bits;
  }
  const double exact = error_limit(eigenvalues(h), variances, 12);
  EXPECT_NEAR(error_limit(squared_pivots(h), variances, 12), exact, 1e-9 * exact);
}

TEST(Eigenvalues, ByHandAndNeverNegative) {
  Matrix<double> h(2, 2);  // [[2, 1], [1, 2]]: 1 and 3
  h(0, 0) = h(1, 1) = 2, h(1, 0) = 1, h(0, 1) = std::nan("");
  const auto two = eigenvalues(h);
  ASSERT_EQ(two.size(), 2);
  EXPECT_NEAR(two[0], 1, 1e-14);
  EXPECT_NEAR(two[1], 3, 1e-14);
  EXPECT_TRUE(eigenvalues(Matrix<double>(0, 0)).empty());
  const auto singular = eigenvalues(random_gram(60, 5, 1));
  EXPECT_GE(singular.front(), 0);
  EXPECT_LT(singular[54], 1e-10 * singular.back());
  EXPECT_GT(singular[55], 1e-3 * singular.back());
}

TEST(SquaredPivots, ByHandAndOfSingularMatrices) {
  Matrix<double> h(3, 3);  // [[5, 2], [2, 4]] beside a dead coordinate
  h(0, 0) = 5, h(2, 0) = 2, h(2, 2) = 4;
  EXPECT_EQ(squared_pivots(h), (std::vector<double>{4, 0, 4}));
  const auto singular = squared_pivots(random_gram(60, 5, 1));
  EXPECT_EQ(singular.size(), 60);
  for (const double p : singular) EXPECT_GT(p, 0);
  h(2, 0) = 20;  // indefinite
  EXPECT_EQ(squared_pivots(h), (std::vector<double>{0, 0, 0}));
}

}  // namespace
}  // namespace nearplane::lattice
