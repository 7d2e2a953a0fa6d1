#include "lattice/nearest_plane_by.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"
#include "lattice/error.h"
#include "lattice/nearest_plane.h"
#include "lattice/order.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

// The same integers as the fast kernel on a grid that both know.
TEST(NearestPlaneBy, IsNearestPlaneOnAGrid) {
  for (const std::int64_t n : {1, 64, 65, 200}) {
    const auto w = random_weights(70, n, 1);
    auto h = random_gram(n, 2 * n + 5, 2);
    if (n > 10)
      for (std::int64_t j = 0; j < n; ++j) h(7, j) = h(j, 7) = 0;  // outside the order
    const auto l = factorize<double>(h, decreasing_diagonal_order(h), 0.01);
    const auto grid = random_grid(70, n, 1, 3, 0.3, 3);
    Matrix<std::uint8_t> codes(70, n);
    const auto expected = nearest_plane(w.view(), l, grid, codes.view());
    Matrix<float> q(70, n);
    const auto quantize = [&](std::int64_t i, std::int64_t j, double c) {
      const double step = static_cast<double>(grid.step(i, j)), zero = static_cast<double>(grid.zero(i, j));
      return static_cast<float>(step * (std::clamp(std::nearbyint(c / step + zero), 0.0, 7.0) - zero));
    };
    const auto errors = nearest_plane_by(w.view(), l, quantize, q.view());
    for (std::int64_t i = 0; i < 70; ++i) {
      EXPECT_NEAR(errors[i], expected.error[i], 1e-4 * expected.error[i]);  // levels are rounded to f32
      for (std::int64_t j = 0; j < n; ++j)
        ASSERT_EQ(q(i, j), grid.step(i, j) * (static_cast<float>(codes(i, j)) - grid.zero(i, j))) << i << ' ' << j;
    }
  }
}

TEST(NearestPlaneBy, ExactWeightsCostNothingAndErrorsAreThoseOfTheMatrix) {
  const auto w = random_weights(30, 100, 4);
  const auto h = random_gram(100, 250, 5);
  const auto l = factorize<float>(h, natural_order(h), 0.01);
  Matrix<float> q(30, 100);
  // Even rows exact, odd rows rounded to halves.
  const auto errors = nearest_plane_by(
      w.view(), l,
      [](std::int64_t i, std::int64_t, double c) {
        return static_cast<float>(i % 2 == 0 ? c : std::nearbyint(2 * c) / 2);
      },
      q.view());
  auto damped = h.clone();
  for (std::int64_t j = 0; j < 100; ++j) damped(j, j) += l.factor.shift;
  auto d = w.clone();
  for (std::int64_t i = 0; i < d.size(); ++i) d.data()[i] -= q.data()[i];
  const auto direct = row_errors<double>(d.view(), damped);
  for (std::size_t i = 0; i < errors.size(); ++i) {
    if (i % 2 == 0) {
      EXPECT_LT(errors[i], 1e-9 * direct[1]);
    } else {
      EXPECT_NEAR(errors[i], direct[i], 1e-4 * direct[i]);
    }
  }
}

TEST(NearestPlaneBy, SameBitsForAnyNumberOfThreads) {
  const auto w = random_weights(200, 130, 6);
  const auto h = random_gram(130, 300, 7);
  const auto l = factorize<float>(h, natural_order(h), 0.01);
  const auto solve = [&](int threads) {
    set_thread_count(threads);
    Matrix<float> q(200, 130);
    return nearest_plane_by(
        w.view(), l, [](std::int64_t, std::int64_t, double c) { return static_cast<float>(std::nearbyint(3 * c) / 3); },
        q.view());
  };
  const auto one = solve(1);
  EXPECT_EQ(solve(3), one);
  set_thread_count(0);
}

}  // namespace
}  // namespace nearplane::lattice
