#include "quant/alternate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "every_target.h"
#include "lattice/assess.h"
#include "lattice/nearest_plane.h"
#include "lattice/order.h"
#include "lattice_problem.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

struct Problem {
  Matrix<float> w;
  Matrix<double> h;
  lattice::Triangle<double> l;
  lattice::Grid grid;
  Matrix<std::uint8_t> codes;

  Problem(std::int64_t m, std::int64_t n, std::int64_t group, std::uint64_t seed, double step = 0.4)
      : w(random_weights(m, n, seed)),
        h(random_gram(n, n + n / 2 + 4, seed + 1)),
        l(lattice::factorize<double>(h, lattice::decreasing_diagonal_order(h), 0.01)),
        grid(random_grid(m, n, group, 3, step, seed + 2)),
        codes(m, n) {
    for (auto& s : grid.step.span()) s = f16_to_f32(f32_to_f16(s));
    lattice::nearest_plane(w.view(), l, grid, codes.view());
  }
  template <class T>
  void run(int rounds) {
    alternate(w.view(), Metric<T>(h, l.factor), rounds, grid, codes.view());
  }
  std::vector<double> errors() const { return lattice::assess(w.view(), l, grid, codes.view()).error; }
  double error() const {
    double sum = 0;
    for (const double e : errors()) sum += e;
    return sum;
  }
  double damped(std::int64_t i, std::int64_t j) const { return h(i, j) + (i == j ? l.factor.shift : 0.0); }
  // H (w - q) of a row, by the book.
  std::vector<double> gradient(std::int64_t r) const {
    std::vector<double> g(static_cast<std::size_t>(w.cols()));
    for (std::int64_t i = 0; i < w.cols(); ++i)
      for (std::int64_t j = 0; j < w.cols(); ++j) g[i] += damped(i, j) * difference(r, j);
    return g;
  }
  double difference(std::int64_t r, std::int64_t j) const {
    const auto b = j / grid.group;
    return static_cast<double>(w(r, j)) -
           static_cast<double>(grid.step(r, b)) * (codes(r, j) - static_cast<double>(grid.zero(r, b)));
  }
};

TEST(Alternate, EveryRoundLowersTheErrorOfEveryRow) {
  for (const std::int64_t group : {8, 32, 96, 192}) {
    Problem p(150, 192, group, 1);
    auto last = p.errors();
    const double first = p.error();
    for (int round = 0; round < 3; ++round) {
      p.run<double>(1);
      const auto now = p.errors();
      for (std::size_t i = 0; i < now.size(); ++i) EXPECT_LE(now[i], last[i] * (1 + 1e-12)) << group;
      last = now;
    }
    EXPECT_LT(p.error(), 0.9 * first);
  }
}

TEST(Alternate, EndsWhereNoCodeAndNoStepCanImprove) {
  Problem p(10, 48, 16, 2);
  p.run<double>(60);
  for (std::int64_t r = 0; r < 10; ++r) {
    const auto g = p.gradient(r);
    for (std::int64_t j = 0; j < 48; ++j)
      for (const int move : {-1, 1}) {
        const int code = p.codes(r, j) + move;
        if (code < 0 || code > 7) continue;
        const double by = move * static_cast<double>(p.grid.step(r, j / 16));  // q rises by that
        EXPECT_GE(by * by * p.damped(j, j) - 2 * by * g[j], -1e-9);
      }
    for (std::int64_t b = 0; b < 3; ++b) {
      double slope = 0, curvature = 0;
      for (std::int64_t i = b * 16; i < b * 16 + 16; ++i) {
        const double u = p.codes(r, i) - static_cast<double>(p.grid.zero(r, b));
        slope += u * g[i];
        for (std::int64_t j = b * 16; j < b * 16 + 16; ++j)
          curvature += u * p.damped(i, j) * (p.codes(r, j) - static_cast<double>(p.grid.zero(r, b)));
      }
      const auto step = static_cast<double>(p.grid.step(r, b));
      EXPECT_LE(std::abs(slope / curvature), step * 0x1p-11 * 1.01);  // the best f16 number
    }
  }
}

TEST(Alternate, OneCoordinateByHand) {
  // w = 1.2, H = 2, u = 3 - 1 = 2 with step 0.5: the step that fits is 0.6, as f16.
  Problem p(1, 1, 1, 3);
  p.w(0, 0) = 1.2f, p.grid.step(0, 0) = 0.5f, p.grid.zero(0, 0) = 1, p.codes(0, 0) = 3;
  p.run<float>(1);
  EXPECT_EQ(p.grid.step(0, 0), f16_to_f32(f32_to_f16(0.6f)));
  EXPECT_EQ(int{p.codes(0, 0)}, 3);
  p.codes(0, 0) = 1;  // u = 0 says nothing about the step: the code moves, and the step fits the next turn
  p.run<float>(1);
  EXPECT_EQ(int{p.codes(0, 0)}, 3);
}

TEST(Alternate, FindsTheGridTheWeightsWereMadeWith) {
  Problem p(40, 64, 32, 4);
  Rng rng(5);
  for (std::int64_t r = 0; r < 40; ++r)
    for (std::int64_t j = 0; j < 64; ++j)
      p.w(r, j) = p.grid.step(r, j / 32) * (static_cast<float>(rng.below(8)) - p.grid.zero(r, j / 32));
  for (auto& s : p.grid.step.span()) s = f16_to_f32(f32_to_f16(1.02f * s));
  lattice::nearest_plane(p.w.view(), p.l, p.grid, p.codes.view());
  const auto before = p.errors();
  p.run<double>(10);
  const auto after = p.errors();
  int exact = 0;
  for (std::size_t i = 0; i < after.size(); ++i) exact += before[i] > 0 && after[i] == 0;
  EXPECT_GE(exact, 36);  // of 40; the others end where no single code or step improves
}

TEST(Alternate, KeepsStepsAndCodesInTheirRanges) {
  Problem p(130, 64, 64, 6, 0.05);  // far too narrow: steps want to grow
  p.run<float>(3);
  for (const float s : p.grid.step.span()) {
    EXPECT_EQ(s, f16_to_f32(f32_to_f16(s)));
    EXPECT_GE(s, 0x1p-14f);
  }
  for (const auto c : p.codes.span()) EXPECT_LE(c, 7);
  for (auto& x : p.w.span()) x *= 1e30f;
  p.run<float>(3);
  for (const float s : p.grid.step.span()) EXPECT_LE(s, 65504.0f);
}

TEST(Alternate, ColumnsWithoutErrorStayAsTheyAre) {
  Problem p(20, 64, 32, 7);
  for (std::int64_t j = 0; j < 64; ++j) p.h(5, j) = p.h(j, 5) = 0;
  p.l = lattice::factorize<double>(p.h, lattice::natural_order(p.h), 0.01);
  const auto before = p.codes.clone();
  p.run<float>(2);
  for (std::int64_t r = 0; r < 20; ++r) EXPECT_EQ(p.codes(r, 5), before(r, 5));
  Problem none(20, 64, 32, 8);
  none.l.factor.order.clear();
  const auto kept = none.codes.clone();
  none.run<float>(2);
  EXPECT_TRUE(std::equal(kept.span().begin(), kept.span().end(), none.codes.span().begin()));
}

TEST(Alternate, EveryTargetFindsEquallyGoodCodes) {
  Problem best(70, 128, 32, 9);
  best.run<float>(2);
  for_every_target([&] {
    Problem p(70, 128, 32, 9);
    p.run<float>(2);
    EXPECT_NEAR(p.error(), best.error(), 2e-3 * best.error());
    Problem exact(70, 128, 32, 9);
    exact.run<double>(2);
    EXPECT_NEAR(exact.error(), best.error(), 2e-3 * best.error());
  });
}

TEST(Alternate, SameBitsForAnyNumberOfThreads) {
  Problem one(300, 96, 32, 10), many(300, 96, 32, 10);
  set_thread_count(1);
  one.run<float>(2);
  set_thread_count(3);
  many.run<float>(2);
  set_thread_count(0);
  EXPECT_TRUE(std::equal(one.codes.span().begin(), one.codes.span().end(), many.codes.span().begin()));
  EXPECT_TRUE(std::equal(one.grid.step.span().begin(), one.grid.step.span().end(), many.grid.step.span().begin()));
}

}  // namespace
}  // namespace nearplane
