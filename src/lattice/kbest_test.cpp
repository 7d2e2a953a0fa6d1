#include "lattice/kbest.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/threads.h"
#include "every_target.h"
#include "lattice/closest_vector.h"
#include "lattice/nearest_plane.h"
#include "lattice/order.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

struct Solved {
  Matrix<std::uint8_t> codes;
  Outcome outcome;
  double total = 0;
};

template <class T>
Solved solve(const Matrix<float>& w, const Triangle<T>& l, const Grid& grid, int beam) {
  Solved out{Matrix<std::uint8_t>(w.rows(), w.cols()), {}};
  out.outcome =
      beam == 0 ? nearest_plane(w.view(), l, grid, out.codes.view()) : kbest(w.view(), l, grid, beam, out.codes.view());
  for (const double e : out.outcome.error) out.total += e;
  return out;
}

bool same(const Matrix<std::uint8_t>& a, const Matrix<std::uint8_t>& b) {
  return std::equal(a.span().begin(), a.span().end(), b.span().begin());
}

struct Problem {
  Matrix<float> w;
  Grid grid;
  Matrix<double> h;
  std::vector<std::int64_t> order;

  Problem(std::int64_t m, std::int64_t n, int bits, double step, std::uint64_t seed)
      : w(random_weights(m, n, seed)),
        grid(random_grid(m, n, n, bits, step, seed + 1)),
        h(random_gram(n, n + n / 4 + 4, seed + 2)),
        order(decreasing_diagonal_order(h)) {}

  template <class T>
  Triangle<T> factor() const {
    return factorize<T>(h, order, 0.01);
  }
  std::vector<std::int64_t> by_position(const Matrix<std::uint8_t>& codes, std::int64_t row) const {
    std::vector<std::int64_t> out;
    for (const auto j : order) out.push_back(codes(row, j));
    return out;
  }
};

template <class T>
int rows_like_the_reference(const Problem& p, int beam, double tolerance) {
  const auto exact = p.factor<double>();
  const auto solved = solve(p.w, p.factor<T>(), p.grid, beam);
  int equal = 0;
  for (std::int64_t i = 0; i < p.w.rows(); ++i) {
    const auto problem = row_problem(exact, p.grid, p.w.view(), i);
    const auto want = kbest(problem, beam, 2);
    const auto have = p.by_position(solved.codes, i);
    equal += have == want.codes;
    EXPECT_NEAR(solved.outcome.error[i], error_of(problem, have), tolerance * want.error);
  }
  return equal;
}

TEST(KBest, EqualsTheReferenceWhileAllColumnsAreOpen) {
  for (const int beam : {1, 2, 4, 8})
    for (const std::int64_t n : {1, 2, 15, 16, 17, 64}) {
      SCOPED_TRACE(testing::Message() << "beam " << beam << ", n " << n);
      EXPECT_EQ(rows_like_the_reference<double>(Problem(20, n, 3, 0.4, 10), beam, 1e-10), 20);
    }
}

TEST(KBest, EqualsTheReferenceOnEveryTargetClippedOrNot) {
  for_every_target([] {
    for (const double step : {0.1, 0.6})
      for (const int beam : {2, 8}) {
        const Problem p(20, 60, 3, step, 20);
        EXPECT_EQ(rows_like_the_reference<double>(p, beam, 1e-10), 20);
        EXPECT_GE(rows_like_the_reference<float>(p, beam, 1e-4), 16);  // the rest are ties within rounding
      }
  });
}

TEST(KBest, ClosingColumnsHardlyCosts) {
  const Problem p(40, 300, 3, 0.4, 30);
  const auto l = p.factor<double>();
  const auto solved = solve(p.w, l, p.grid, 8);
  double reference = 0;
  for (std::int64_t i = 0; i < 40; ++i) {
    const auto problem = row_problem(l, p.grid, p.w.view(), i);
    reference += kbest(problem, 8, 2).error;
    EXPECT_NEAR(solved.outcome.error[i], error_of(problem, p.by_position(solved.codes, i)),
                1e-9 * solved.outcome.error[i]);
  }
  EXPECT_NEAR(solved.total, reference, 2e-3 * reference);
}

TEST(KBest, ABeamOfOneIsNearestPlane) {
  for (const std::int64_t n : {1, 16, 64, 65, 129, 400}) {
    const Problem p(140, n, 4, 0.15, 40);
    const auto l = p.factor<double>();
    const auto one = solve(p.w, l, p.grid, 1), plane = solve(p.w, l, p.grid, 0);
    EXPECT_TRUE(same(one.codes, plane.codes)) << n;
    EXPECT_EQ(one.outcome.clipped, plane.outcome.clipped);
    EXPECT_NEAR(one.total, plane.total, 1e-10 * plane.total);
  }
}

TEST(KBest, WiderBeamsAreBetter) {
  const Problem p(128, 384, 3, 0.4, 50);
  const auto l = p.factor<float>();
  const double plane = solve(p.w, l, p.grid, 0).total;
  double last = plane;
  for (const int beam : {2, 4, 8}) {
    const double error = solve(p.w, l, p.grid, beam).total;
    EXPECT_LT(error, last) << beam;
    last = error;
  }
  EXPECT_LT(last, 0.95 * plane);
}

TEST(KBest, CoordinatesOutsideTheOrderAreRounded) {
  Problem p(20, 40, 3, 0.4, 60);
  for (std::int64_t j = 0; j < 40; ++j) p.h(7, j) = p.h(j, 7) = 0;
  const auto l = factorize<float>(p.h, natural_order(p.h), 0.01);
  const auto solved = solve(p.w, l, p.grid, 4);
  for (std::int64_t i = 0; i < 20; ++i) {
    const float t = p.w(i, 7) / p.grid.step(i, 0) + p.grid.zero(i, 0);
    EXPECT_EQ(static_cast<float>(solved.codes(i, 7)), std::clamp(std::nearbyint(t), 0.0f, 7.0f));
  }
  Triangle<float> none;
  none.factor.dimension = 40;
  EXPECT_TRUE(same(solve(p.w, none, p.grid, 8).codes, solve(p.w, none, p.grid, 0).codes));
  const Matrix<float> empty(0, 40);
  const auto nothing = solve(empty, l, Grid{.group = 40, .max_code = 7, .step = {0, 1}, .zero = {0, 1}}, 8);
  EXPECT_TRUE(nothing.outcome.error.empty());
}

TEST(KBest, FeedbackBeyondF32EndsInAnInfiniteError) {
  Triangle<float> l;
  l.factor = {.dimension = 2, .order = {0, 1}, .pivots = {1, 1}};
  l.rows = Matrix<float>(2, 2);
  l.rows(0, 0) = l.rows(1, 1) = 1, l.rows(1, 0) = std::numeric_limits<float>::infinity();
  const Grid grid = random_grid(5, 2, 2, 3, 0.5, 70);
  const auto solved = solve(random_weights(5, 2, 71), l, grid, 8);
  for (const double e : solved.outcome.error) EXPECT_TRUE(std::isinf(e));
  for (const auto code : solved.codes.span()) EXPECT_LE(code, 7);
}

TEST(KBest, SameBitsForAnyNumberOfThreads) {
  const Problem p(300, 200, 3, 0.4, 80);
  const auto l = p.factor<float>();
  set_thread_count(1);
  const auto one = solve(p.w, l, p.grid, 8);
  set_thread_count(3);
  const auto many = solve(p.w, l, p.grid, 8);
  set_thread_count(0);
  EXPECT_TRUE(same(one.codes, many.codes));
  EXPECT_EQ(one.outcome.error, many.outcome.error);
}

}  // namespace
}  // namespace nearplane::lattice
