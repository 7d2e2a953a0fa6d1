#include "lattice/data_factor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"
#include "expect_error.h"
#include "lattice/bound.h"
#include "lattice/error.h"
#include "lattice/nearest_plane.h"
#include "lattice/order.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

Matrix<double> random_data(std::int64_t rows, std::int64_t n, std::uint64_t seed) {
  Rng rng(seed);
  Matrix<double> x(rows, n);
  for (std::int64_t t = 0; t < rows; ++t) {
    const double common = rng.normal();
    for (std::int64_t j = 0; j < n; ++j) x(t, j) = (0.3 + static_cast<double>(j % 5)) * (common + rng.normal());
  }
  return x;
}

// Columns that differ from their neighbour by one part in 10^digits.
Matrix<double> nearly_dependent_data(std::int64_t rows, std::int64_t n, int digits, std::uint64_t seed) {
  auto x = random_data(rows, n, seed);
  for (std::int64_t t = 0; t < rows; ++t)
    for (std::int64_t j = 1; j < n; j += 2) x(t, j) = x(t, j - 1) + std::pow(10.0, -digits) * x(t, j);
  return x;
}

DataFactor factor_of(const Matrix<double>& x) {
  DataFactor out(x.cols());
  out.add<double>(x.view(), "x");
  return out;
}

void expect_same_factor(const Triangle<double>& a, const Triangle<double>& b, double tolerance) {
  ASSERT_EQ(a.factor.rank(), b.factor.rank());
  EXPECT_EQ(a.factor.order, b.factor.order);
  EXPECT_EQ(a.factor.repairs, b.factor.repairs);
  EXPECT_NEAR(a.factor.shift, b.factor.shift, tolerance * a.factor.shift);
  for (std::int64_t k = 0; k < a.factor.rank(); ++k) {
    EXPECT_NEAR(a.factor.pivots[k], b.factor.pivots[k], tolerance * a.factor.pivots[k]) << k;
    for (std::int64_t j = 0; j < a.factor.rank(); ++j) EXPECT_NEAR(a.rows(k, j), b.rows(k, j), tolerance);
  }
}

TEST(DataFactor, TwoColumnsByHand) {
  // X^T X = [[5, 2], [2, 4]] = L^T L with L = [[2, 0], [1, 2]]
  Matrix<double> x(2, 2);
  x(0, 0) = 2, x(1, 0) = 1, x(0, 1) = 0, x(1, 1) = 2;
  const auto l = factor_of(x).factorize<double>({0, 1}, 0);
  EXPECT_NEAR(l.factor.pivots[0], 2, 1e-15);
  EXPECT_NEAR(l.factor.pivots[1], 2, 1e-15);
  EXPECT_NEAR(l.rows(1, 0), 0.5, 1e-15);
  EXPECT_EQ(l.rows(0, 1), 0);
}

TEST(DataFactor, EqualsCholeskyOfTheGramMatrixForEveryOrder) {
  for (const std::int64_t n : {1, 2, 31, 33, 70, 200}) {
    const auto data = factor_of(random_data(3 * n + 5, n, 1));
    const auto h = data.gram();
    for (const auto& order : {natural_order(h), decreasing_diagonal_order(h), min_pivot_order(h, 0)})
      for (const double damping : {0.0, 0.01})
        expect_same_factor(factorize<double>(h, order, damping), data.factorize<double>(order, damping), 1e-9);
  }
}

TEST(DataFactor, DoesNotCareHowRowsArrive) {
  const auto x = random_data(700, 40, 2);
  const auto whole = factor_of(x);
  DataFactor pieces(40);
  for (std::int64_t t = 0, count = 1; t < 700; t += count, count = std::min(2 * count, 700 - t))
    pieces.add<double>(x.view().rows_at(t, count), "x");
  EXPECT_EQ(pieces.rows(), 700);
  const auto order = natural_order(whole.gram());
  expect_same_factor(whole.factorize<double>(order, 0.01), pieces.factorize<double>(order, 0.01), 1e-11);
}

TEST(DataFactor, FewerRowsThanColumnsNeedDamping) {
  const auto data = factor_of(random_data(7, 30, 3));
  const auto h = data.gram();
  expect_same_factor(factorize<double>(h, natural_order(h), 0.01), data.factorize<double>(natural_order(h), 0.01),
                     1e-8);
  const auto repaired = data.factorize<double>(natural_order(h), 0);
  EXPECT_EQ(repaired.factor.repairs, 1);
  EXPECT_EQ(repaired.factor.damping, 1e-8);
}

TEST(DataFactor, EmptyAndDeadDataLeaveNothingToDecide) {
  DataFactor none(3);
  EXPECT_TRUE(natural_order(none.gram()).empty());
  EXPECT_EQ(none.factorize<double>({}, 0.01).factor.rank(), 0);
  EXPECT_EQ(DataFactor(0).gram().cols(), 0);
  auto x = random_data(20, 6, 4);
  for (std::int64_t t = 0; t < 20; ++t) x(t, 2) = 0;
  EXPECT_EQ(natural_order(factor_of(x).gram()), (std::vector<std::int64_t>{0, 1, 3, 4, 5}));
}

TEST(DataFactor, RefusesWhatIsNoNumberAndStaysAsItWas) {
  DataFactor data(3);
  data.add<double>(random_data(4, 3, 5).view(), "layer");
  const auto before = data.gram();
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL, 1e300}) {
    auto x = random_data(300, 3, 6);
    x(299, 1) = bad;
    expect_error(ErrorCode::numerical, {"layer", "row 303", "column 1"}, [&] { data.add<double>(x.view(), "layer"); });
  }
  EXPECT_EQ(data.rows(), 4);
  EXPECT_TRUE(std::equal(before.span().begin(), before.span().end(), data.gram().span().begin()));
}

double certificate(const std::vector<double>& identity, const std::vector<double>& direct) {
  double difference = 0, sum = 0;
  for (std::size_t i = 0; i < direct.size(); ++i) difference += std::abs(identity[i] - direct[i]), sum += direct[i];
  return difference / sum;
}

// What the third rung of the precision ladder is for: pairs of columns equal to nine digits. Their difference is worth
// 1e-18 of H and lost in it, but not in X.
TEST(DataFactor, KeepsTheIdentityWhereTheGramMatrixHasLostIt) {
  const std::int64_t n = 24;
  const auto x = nearly_dependent_data(100, n, 9, 7);
  const auto data = factor_of(x);
  const auto h = data.gram();
  const auto w = random_weights(8, n, 8);
  const auto grid = random_grid(8, n, n, 8, 1.0 / 32, 9);
  const auto solve = [&](const Triangle<double>& l) {
    Matrix<std::uint8_t> codes(8, n);
    const auto outcome = nearest_plane<double>(w.view(), l, grid, codes.view());
    Matrix<float> d(8, n);
    for (std::int64_t i = 0; i < 8; ++i)
      for (std::int64_t j = 0; j < n; ++j) d(i, j) = w(i, j) - grid.step(i, 0) * (codes(i, j) - grid.zero(i, 0));
    return certificate(outcome.error, data.row_errors(d.view()));
  };
  const auto exact = data.factorize<double>(natural_order(h), 0);
  EXPECT_EQ(exact.factor.repairs, 0);
  EXPECT_LT(solve(exact), 1e-6);
  const double smallest = *std::min_element(exact.factor.pivots.begin(), exact.factor.pivots.end());
  EXPECT_LT(smallest, 1e-7);
  const auto gram = factorize<double>(h, natural_order(h), 0);  // fails, or keeps noise for pivots
  EXPECT_TRUE(gram.factor.repairs > 0 ||
              *std::min_element(gram.factor.pivots.begin(), gram.factor.pivots.end()) > 2 * smallest);
}

TEST(DataFactor, RowErrorsEqualThoseOfTheGramMatrix) {
  const auto data = factor_of(random_data(90, 33, 10));
  const auto d = random_weights(300, 33, 11);
  const auto a = data.row_errors(d.view()), b = row_errors<double>(d.view(), data.gram());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], 1e-11 * b[i]);
}

}  // namespace
}  // namespace nearplane::lattice
