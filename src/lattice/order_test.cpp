#include "lattice/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/threads.h"
#include "expect_error.h"
#include "lattice/bound.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

using Places = std::vector<std::int64_t>;

// The definition, one elimination at a time on the full matrix.
Places min_pivot_by_definition(Matrix<double> a) {
  const auto n = a.cols();
  std::vector<bool> done(static_cast<std::size_t>(n));
  Places order(static_cast<std::size_t>(n));
  for (std::int64_t place = n - 1; place >= 0; --place) {
    std::int64_t p = -1;
    for (std::int64_t i = 0; i < n; ++i)
      if (!done[i] && (p < 0 || a(i, i) <= a(p, p))) p = i;
    done[p] = true, order[place] = p;
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        if (!done[i] && !done[j]) a(i, j) -= a(i, p) * a(p, j) / a(p, p);
  }
  return order;
}

double sum_of_pivots(const Matrix<double>& h, const Places& order) {
  double sum = 0;
  for (const double pivot : factorize<double>(h, order, 0.01).factor.pivots) sum += pivot * pivot;
  return sum;
}

TEST(MinPivot, ByHand) {
  // Diagonal 5, 4, 6: coordinate 1 is last. Without it 5 - 16/4 = 1 and 6 - 0: coordinate 0 comes before it.
  Matrix<double> h(3, 3);
  h(0, 0) = 5, h(1, 1) = 4, h(2, 2) = 6, h(1, 0) = 4, h(0, 1) = std::nan("");
  EXPECT_EQ(min_pivot_order(h, 0), (Places{2, 0, 1}));
}

TEST(MinPivot, FollowsItsDefinitionForSizesAroundTheBlocks) {
  for (const std::int64_t n : {1, 2, 63, 64, 65, 130, 300}) {
    const auto h = random_gram(n, 2 * n, static_cast<std::uint64_t>(n));
    EXPECT_EQ(min_pivot_order(h, 0), min_pivot_by_definition(h.clone())) << n;
  }
}

TEST(MinPivot, BoundIsSmallerThanOfTheOtherOrders) {
  const auto h = random_gram(200, 400, 1);
  const double least = sum_of_pivots(h, min_pivot_order(h, 0));
  EXPECT_LT(least, sum_of_pivots(h, natural_order(h)));
  EXPECT_LE(least, sum_of_pivots(h, decreasing_diagonal_order(h)));
}

TEST(MinPivot, SingularDeadAndHugeMatricesGiveAPermutation) {
  auto h = random_gram(150, 20, 2);
  h(7, 7) = 0;
  for (const double shift : {0.0, 1e-3}) {
    auto order = min_pivot_order(h, shift);
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, natural_order(h));
  }
  for (auto& value : h.span()) value *= 1e200;
  EXPECT_EQ(min_pivot_order(h, 0).size(), 149);
  EXPECT_TRUE(min_pivot_order(Matrix<double>(0, 0), 0).empty());
}

TEST(MinPivot, SameForAnyNumberOfThreads) {
  const auto h = random_gram(600, 700, 3);
  set_thread_count(1);
  const auto one = min_pivot_order(h, 0.1);
  set_thread_count(3);
  EXPECT_EQ(one, min_pivot_order(h, 0.1));
  set_thread_count(0);
}

TEST(GivenOrder, IsCheckedAndLosesDeadCoordinates) {
  Matrix<double> h(3, 3);
  h(0, 0) = h(2, 2) = 1;
  EXPECT_EQ(given_order(h, {2, 1, 0}, "order"), (Places{2, 0}));
  expect_error(ErrorCode::bad_input, {"order", "coordinate 2", "place 1"}, [&] { given_order(h, {2, 2, 0}, "order"); });
  expect_error(ErrorCode::bad_input, {"coordinate 3", "place 0"}, [&] { given_order(h, {3, 1, 0}, "order"); });
  expect_error(ErrorCode::bad_input, {"coordinate -1"}, [&] { given_order(h, {0, -1, 2}, "order"); });
  expect_error(ErrorCode::bad_input, {"2 coordinates for 3"}, [&] { given_order(h, {0, 1}, "order"); });
}

}  // namespace
}  // namespace nearplane::lattice
