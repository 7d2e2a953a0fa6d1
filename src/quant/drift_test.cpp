#include "quant/drift.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/threads.h"
#include "expect_error.h"
#include "lattice_problem.h"

namespace nearplane {
namespace {

// Original inputs, those that arrive, and their sums.
struct Problem {
  Matrix<double> x, seen, gram, cross, squares;

  Problem(Matrix<double> original, Matrix<double> arriving) : x(std::move(original)), seen(std::move(arriving)) {
    const auto n = x.cols();
    gram = Matrix<double>(n, n), cross = Matrix<double>(n, n), squares = Matrix<double>(n, n);
    for (std::int64_t t = 0; t < x.rows(); ++t)
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < n; ++j) {
          gram(i, j) += seen(t, i) * seen(t, j);
          cross(i, j) += seen(t, i) * (x(t, j) - seen(t, j));
          squares(i, j) += (x(t, i) - seen(t, i)) * (x(t, j) - seen(t, j));
        }
  }
  DriftSums sums() const { return {cross, squares, x.rows()}; }
};

// X^ = 0.9 X + noise of a tenth.
Problem random_problem(std::int64_t tokens, std::int64_t n, double noise, std::uint64_t seed) {
  Rng rng(seed);
  Matrix<double> x(tokens, n), seen(tokens, n);
  for (std::int64_t t = 0; t < tokens; ++t) {
    const double common = rng.normal();
    for (std::int64_t j = 0; j < n; ++j) {
      x(t, j) = common + rng.normal();
      seen(t, j) = 0.9 * x(t, j) + noise * rng.normal();
    }
  }
  return {std::move(x), std::move(seen)};
}

// ||X w - X^ q||^2 / ||X w||^2, token by token.
double direct_error(const Problem& p, const Matrix<float>& w, const Matrix<float>& q) {
  double error = 0, norm = 0;
  for (std::int64_t t = 0; t < p.x.rows(); ++t)
    for (std::int64_t i = 0; i < w.rows(); ++i) {
      double y = 0, z = 0;
      for (std::int64_t j = 0; j < w.cols(); ++j) {
        y += p.x(t, j) * static_cast<double>(w(i, j));
        z += p.seen(t, j) * static_cast<double>(q(i, j));
      }
      norm += y * y;
      error += (y - z) * (y - z);
    }
  return error / norm;
}

GridOptions grid(int bits) {
  GridOptions options;
  options.bits = bits, options.group = 16;
  return options;
}

DriftOptions full() { return {.fitted = false, .strength = 1}; }

TEST(Drift, WithoutDriftTheTargetIsTheWeights) {
  const auto p = random_problem(100, 16, 0, 1);
  const Problem same(p.x.clone(), p.x.clone());
  const Hessian hessian(same.gram, Order::act, 0.01, "h");
  const auto w = random_weights(5, 16, 2);
  const auto target = DriftCorrection(hessian, same.sums(), "h").target(w, full(), "w");
  for (std::int64_t i = 0; i < w.size(); ++i) EXPECT_EQ(target.w.data()[i], w.data()[i]);
}

TEST(Drift, TwoColumnsByHand) {
  // The second input arrives halved, so its weight has to double; the first is as it was.
  Matrix<double> x(2, 2), seen(2, 2);
  x(0, 0) = seen(0, 0) = 1, x(1, 1) = 2, seen(1, 1) = 1;
  const Problem p(std::move(x), std::move(seen));
  const Hessian hessian(p.gram, Order::natural, 1e-12, "h");
  Matrix<float> w(1, 2);
  w(0, 0) = 3, w(0, 1) = 4;
  const DriftCorrection correction(hessian, p.sums(), "h");
  const auto target = correction.target(w, full(), "w");
  EXPECT_NEAR(target.w(0, 0), 3, 1e-6);
  EXPECT_NEAR(target.w(0, 1), 8, 1e-6);
  EXPECT_NEAR(target.explained, 1, 1e-9);
  EXPECT_NEAR(correction.target(w, {.fitted = false, .strength = 0.5}, "w").w(0, 1), 6, 1e-6);
  EXPECT_EQ(correction.target(w, {.fitted = true}, "w").strength, 0);  // two tokens say nothing about two inputs
}

TEST(Drift, ACorrectedTargetLowersTheErrorOfTheOutputs) {
  for (const int bits : {2, 3, 8})
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      const auto p = random_problem(200, 32, 0.2, seed);
      const Hessian hessian(p.gram, Order::act, 0.01, "h");
      const DriftCorrection correction(hessian, p.sums(), "h");
      const auto w = random_weights(20, 32, seed + 10);
      const auto error = [&](const Matrix<float>& target) {
        const auto layer = quantize_linear(target, &hessian, grid(bits), "w");
        Matrix<float> q(w.rows(), w.cols());
        layer.tensor.decode_rows(0, w.rows(), q.data());
        const auto measured = correction.output_error(w, layer.tensor);
        EXPECT_NEAR(measured, direct_error(p, w, q), 1e-5 * measured);
        return measured;
      };
      const auto none = error(w), fitted = error(correction.target(w, {.fitted = true}, "w").w),
                 whole = error(correction.target(w, full(), "w").w);
      EXPECT_LT(whole, none) << bits << " bits, seed " << seed;
      EXPECT_LT(fitted, none) << bits << " bits, seed " << seed;
    }
}

TEST(Drift, TheShareExplainedIsThatOfTheRegression) {
  const auto p = random_problem(300, 24, 0.3, 4);
  const Hessian hessian(p.gram, Order::act, 0.01, "h");
  const auto w = random_weights(6, 24, 5);
  const auto target = DriftCorrection(hessian, p.sums(), "h").target(w, {.fitted = true}, "w");
  EXPECT_GT(target.explained, 0);
  EXPECT_LT(target.explained, 1);
  EXPECT_EQ(target.strength, fitted_strength(target.explained, 300, 24));
  const auto whole = DriftCorrection(hessian, p.sums(), "h").target(w, full(), "w");
  double before = 0, after = 0;
  for (std::int64_t t = 0; t < 300; ++t)
    for (std::int64_t i = 0; i < 6; ++i) {
      double drift = 0, left = 0;
      for (std::int64_t j = 0; j < 24; ++j) {
        drift += (p.x(t, j) - p.seen(t, j)) * static_cast<double>(w(i, j));
        left += p.x(t, j) * static_cast<double>(w(i, j)) - p.seen(t, j) * static_cast<double>(whole.w(i, j));
      }
      before += drift * drift, after += left * left;
    }
  EXPECT_NEAR(target.explained, 1 - after / before, 1e-5);
}

TEST(Drift, FittedStrengthDiscountsWhatChanceExplains) {
  EXPECT_EQ(fitted_strength(1, 1000, 100), 1);
  EXPECT_NEAR(fitted_strength(0.1, 1000, 100), 0, 1e-12);  // 100 of 1000 tokens are explained by any 100 inputs
  EXPECT_EQ(fitted_strength(0.05, 1000, 100), 0);
  EXPECT_NEAR(fitted_strength(0.55, 1000, 100), 0.5, 1e-12);
  EXPECT_EQ(fitted_strength(1, 100, 100), 0);
}

TEST(Drift, DeadInputsKeepTheirWeights) {
  auto p = random_problem(100, 8, 0.2, 6);
  for (std::int64_t t = 0; t < 100; ++t) p.seen(t, 3) = 0;
  const Problem dead(p.x.clone(), p.seen.clone());
  const Hessian hessian(dead.gram, Order::act, 0.01, "h");
  const auto w = random_weights(2, 8, 7);
  const auto target = DriftCorrection(hessian, dead.sums(), "h").target(w, full(), "w");
  EXPECT_EQ(target.w(1, 3), w(1, 3));
  EXPECT_NE(target.w(1, 2), w(1, 2));
}

TEST(Drift, IsTheSameForAnyNumberOfThreads) {
  const auto p = random_problem(300, 48, 0.2, 8);
  const Hessian hessian(p.gram, Order::act, 0.01, "h");
  const auto w = random_weights(200, 48, 9);
  const auto run = [&](int threads) {
    set_thread_count(threads);
    return DriftCorrection(hessian, p.sums(), "h").target(w, {.fitted = true}, "w");
  };
  const auto one = run(1), three = run(3);
  set_thread_count(0);
  EXPECT_EQ(one.strength, three.strength);
  EXPECT_TRUE(std::equal(one.w.span().begin(), one.w.span().end(), three.w.span().begin()));
}

TEST(Drift, RefusesNaN) {
  auto p = random_problem(50, 4, 0.1, 10);
  const Hessian hessian(p.gram, Order::act, 0.01, "h");
  auto w = random_weights(2, 4, 11);
  w(1, 2) = std::numeric_limits<float>::quiet_NaN();
  expect_error(ErrorCode::bad_input, {"layer 7", "(1, 2)", "nan"},
               [&] { DriftCorrection(hessian, p.sums(), "h").target(w, full(), "layer 7"); });
  p.cross(3, 1) = std::numeric_limits<double>::quiet_NaN();
  expect_error(ErrorCode::numerical, {"block 2", "(3, 1)"}, [&] { DriftCorrection(hessian, p.sums(), "block 2"); });
}

}  // namespace
}  // namespace nearplane
