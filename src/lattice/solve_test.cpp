#include "lattice/solve.h"

#include <gtest/gtest.h>

#include "lattice/order.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

TEST(SolveRows, TwoColumnsByHand) {
  Matrix<double> h(2, 2);
  h(0, 0) = 2, h(1, 0) = h(0, 1) = 1, h(1, 1) = 3;
  const auto l = factorize<double>(h, {0, 1}, 0);
  Matrix<double> b(1, 2);
  b(0, 0) = 4, b(0, 1) = 7;  // = (1, 2) H
  solve_rows(b.view(), l);
  EXPECT_NEAR(b(0, 0), 1, 1e-14);
  EXPECT_NEAR(b(0, 1), 2, 1e-14);
}

TEST(SolveRows, UndoesTheProductWithTheDampedMatrixInAnyOrder) {
  for (const std::int64_t n : {1, 5, 16, 17, 100}) {
    const auto h = random_gram(n, 2 * n, 1);
    const auto order = decreasing_diagonal_order(h);
    const auto l = factorize<double>(h, order, 0.01);
    const auto x = random_weights(7, n, 2);
    Matrix<double> b(7, n);
    for (std::int64_t r = 0; r < 7; ++r)
      for (std::int64_t k = 0; k < n; ++k)
        for (std::int64_t j = 0; j < n; ++j)
          b(r, k) += static_cast<double>(x(r, j)) * (h(order[j], order[k]) + (j == k ? l.factor.shift : 0.0));
    solve_rows(b.view(), l);
    for (std::int64_t i = 0; i < x.size(); ++i) EXPECT_NEAR(b.data()[i], static_cast<double>(x.data()[i]), 1e-9) << n;
  }
}

}  // namespace
}  // namespace nearplane::lattice
