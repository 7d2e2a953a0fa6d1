#include "lattice/assess.h"

#include <gtest/gtest.h>

#include "base/threads.h"
#include "lattice/nearest_plane.h"
#include "lattice/order.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

TEST(Assess, SaysOfNearestPlanesCodesWhatNearestPlaneSaid) {
  for (const double step : {0.05, 0.4}) {
    const auto w = random_weights(140, 150, 1);
    auto h = random_gram(150, 200, 2);
    for (std::int64_t j = 0; j < 150; ++j) h(4, j) = h(j, 4) = 0;
    const auto grid = random_grid(140, 150, 50, 3, step, 3);
    const auto l = factorize<double>(h, decreasing_diagonal_order(h), 0.01);
    Matrix<std::uint8_t> codes(140, 150);
    const auto said = nearest_plane(w.view(), l, grid, codes.view());
    const auto have = assess<double>(w.view(), l, grid, codes.view());
    EXPECT_EQ(have.clipped, said.clipped);
    for (std::int64_t i = 0; i < 140; ++i) EXPECT_NEAR(have.error[i], said.error[i], 1e-10 * said.error[i]);
    const auto fast =
        assess<float>(w.view(), factorize<float>(h, decreasing_diagonal_order(h), 0.01), grid, codes.view());
    for (std::int64_t i = 0; i < 140; ++i) EXPECT_NEAR(fast.error[i], said.error[i], 1e-4 * said.error[i]);
  }
}

TEST(Assess, OfAnyCodesIsTheQuadraticForm) {
  const auto h = random_gram(30, 50, 4);
  const auto l = factorize<double>(h, natural_order(h), 0.01);
  const auto grid = random_grid(20, 30, 10, 4, 0.2, 5);
  const auto w = random_weights(20, 30, 6);
  Matrix<std::uint8_t> codes(20, 30);
  Rng rng(7);
  for (auto& c : codes.span()) c = static_cast<std::uint8_t>(rng.below(16));
  const auto have = assess<double>(w.view(), l, grid, codes.view());
  for (std::int64_t r = 0; r < 20; ++r) {
    const auto d = [&](std::int64_t j) {
      return static_cast<double>(w(r, j)) -
             static_cast<double>(grid.step(r, j / 10)) * (codes(r, j) - static_cast<double>(grid.zero(r, j / 10)));
    };
    double want = 0;
    for (std::int64_t i = 0; i < 30; ++i)
      for (std::int64_t j = 0; j < 30; ++j) want += d(i) * (h(i, j) + (i == j ? l.factor.shift : 0.0)) * d(j);
    EXPECT_NEAR(have.error[r], want, 1e-9 * want);
  }
  const Matrix<float> nothing(0, 30);
  const Grid no_rows{.group = 30, .max_code = 7, .step = {0, 1}, .zero = {0, 1}};
  EXPECT_TRUE(assess<double>(nothing.view(), l, no_rows, Matrix<std::uint8_t>(0, 30).view()).error.empty());
}

}  // namespace
}  // namespace nearplane::lattice
