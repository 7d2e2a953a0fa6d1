#include "quant/scale_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "every_target.h"
#include "expect_error.h"
#include "lattice_problem.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

Matrix<float> row(std::initializer_list<float> values) {
  Matrix<float> w(1, static_cast<std::int64_t>(values.size()));
  std::copy(values.begin(), values.end(), w.data());
  return w;
}

lattice::Grid min_max(const Matrix<float>& w, int bits, bool symmetric) {
  return choose_grid(w.view(), {}, bits, w.cols(), symmetric, "w");
}

// sum_j weight_j (w_j - nearest level)^2 of group g of row i
double rounding_error(const Matrix<float>& w, std::span<const double> weights, const lattice::Grid& grid,
                      std::int64_t i, std::int64_t g) {
  const auto step = static_cast<double>(grid.step(i, g)), zero = static_cast<double>(grid.zero(i, g));
  double sum = 0;
  for (std::int64_t j = g * grid.group; j < (g + 1) * grid.group; ++j) {
    const double value = static_cast<double>(w(i, j));
    const double code = std::clamp(std::nearbyint(value / step + zero), 0.0, static_cast<double>(grid.max_code));
    sum += (weights.empty() ? 1.0 : weights[j]) * std::pow(value - step * (code - zero), 2);
  }
  return sum;
}

TEST(ScaleSearch, MinMaxByHand) {
  const auto asymmetric = min_max(row({-0.5f, 0.25f, 1.25f}), 3, false);
  EXPECT_EQ(asymmetric.step(0, 0), 0.25f);
  EXPECT_EQ(asymmetric.zero(0, 0), 2);
  const auto symmetric = min_max(row({-0.5f, 0.25f, 1.75f}), 3, true);
  EXPECT_EQ(symmetric.step(0, 0), 0.5f);  // 2 x 1.75 / 7
  EXPECT_EQ(symmetric.zero(0, 0), 4);
}

TEST(ScaleSearch, ZeroIsAlwaysALevel) {
  const auto positive = min_max(row({0.6f, 0.3f, 1.2f}), 2, false);  // code 0 stays unused
  EXPECT_EQ(positive.zero(0, 0), 1);
  EXPECT_EQ(positive.step(0, 0), f16_to_f32(f32_to_f16(0.6f)));
  const auto negative = min_max(row({-0.6f, -0.3f, -1.2f}), 2, false);
  EXPECT_EQ(negative.zero(0, 0), 3);
  EXPECT_EQ(negative.step(0, 0), f16_to_f32(f32_to_f16(0.4f)));
}

TEST(ScaleSearch, GroupsOfZerosAndTinyWeightsGetTheSmallestNormalStep) {
  const std::vector<double> ones(4, 1.0);
  for (const bool symmetric : {false, true})
    for (const float size : {0.0f, 1e-7f, 1e-40f, -1e-6f}) {
      const auto w = row({0.0f, size, 0.0f, size / 2});
      for (const auto& weights : {std::vector<double>{}, ones}) {
        const auto grid = choose_grid(w.view(), weights, 3, 4, symmetric, "w");
        EXPECT_EQ(grid.step(0, 0), 0x1p-14f);
        EXPECT_GE(grid.zero(0, 0), 1);
        EXPECT_LE(grid.zero(0, 0), 7);
      }
    }
}

TEST(ScaleSearch, ConstantGroupsAreExactUpToTheStepsRounding) {
  const std::vector<double> ones(8, 1.0);
  for (const float value : {0.37f, -0.37f}) {
    Matrix<float> w(1, 8);
    for (auto& x : w.span()) x = value;
    const auto grid = choose_grid(w.view(), ones, 4, 8, false, "w");
    EXPECT_LT(std::sqrt(rounding_error(w, ones, grid, 0, 0) / 8), 0.37 * 0x1p-11);
  }
}

TEST(ScaleSearch, FindsTheStepTheWeightsWereMadeWith) {
  Rng rng(1);
  const std::vector<double> ones(64, 1.0);
  for (int bits = 2; bits <= 8; ++bits) {
    Matrix<float> w(1, 64);
    const int levels = 1 << bits;
    for (auto& x : w.span()) x = 0.0625f * static_cast<float>(static_cast<int>(rng.below(levels)) - levels / 2);
    w(0, 0) = -0.0625f * static_cast<float>(levels / 2), w(0, 1) = 0.0625f * static_cast<float>(levels / 2 - 1);
    const auto grid = choose_grid(w.view(), ones, bits, 64, false, "w");
    EXPECT_EQ(rounding_error(w, ones, grid, 0, 0), 0) << bits;
  }
}

TEST(ScaleSearch, OutputsAreF16StepsAndIntegerZerosFromOne) {
  const auto w = random_weights(70, 96, 2);
  const std::vector<double> weights(96, 2.5);
  for (int bits = 2; bits <= 8; ++bits)
    for (const bool symmetric : {false, true}) {
      const auto grid = choose_grid(w.view(), weights, bits, 32, symmetric, "w");
      EXPECT_EQ(grid.max_code, (1 << bits) - 1);
      for (const float s : grid.step.span()) EXPECT_EQ(s, f16_to_f32(f32_to_f16(s)));
      for (const float z : grid.zero.span()) {
        EXPECT_EQ(z, std::nearbyint(z));
        EXPECT_TRUE(symmetric ? z == static_cast<float>(1 << (bits - 1))
                              : z >= 1 && z <= static_cast<float>(grid.max_code));
      }
    }
}

TEST(ScaleSearch, NeverWorseThanMinMaxAndMuchBetterOnAverage) {
  const auto w = random_weights(40, 128, 3);
  std::vector<double> weights(128);
  Rng rng(4);
  for (auto& x : weights) x = std::exp(2 * rng.normal());
  for (const bool symmetric : {false, true})
    for (const int bits : {2, 3, 4}) {
      const auto searched = choose_grid(w.view(), weights, bits, 64, symmetric, "w");
      const auto plain = choose_grid(w.view(), {}, bits, 64, symmetric, "w");
      double before = 0, after = 0;
      for (std::int64_t i = 0; i < 40; ++i)
        for (std::int64_t g = 0; g < 2; ++g) {
          const double a = rounding_error(w, weights, searched, i, g), b = rounding_error(w, weights, plain, i, g);
          EXPECT_LE(a, b * (1 + 1e-4));
          after += a, before += b;
        }
      EXPECT_LT(after, 0.9 * before);
    }
}

TEST(ScaleSearch, FollowsTheWeights) {
  // One large weight: with a small weight of its column it is given up, with a large one it is kept.
  Matrix<float> w(1, 32);
  Rng rng(5);
  for (auto& x : w.span()) x = 0.1f * static_cast<float>(rng.normal());
  w(0, 7) = 3.0f;
  std::vector<double> weights(32, 1.0);
  weights[7] = 1e-4;
  const auto given_up = choose_grid(w.view(), weights, 3, 32, false, "w");
  weights[7] = 1e4;
  const auto kept = choose_grid(w.view(), weights, 3, 32, false, "w");
  EXPECT_LT(given_up.step(0, 0) * 3, kept.step(0, 0));
  EXPECT_LT(std::abs(3.0f - kept.step(0, 0) * std::nearbyint(3.0f / kept.step(0, 0))), 0.05f);
}

TEST(ScaleSearch, WeightsOfAnySizeAndGroupsWithoutWeight) {
  const auto w = random_weights(10, 64, 6);
  const std::vector<double> ones(64, 1.0), huge(64, 1e180), tiny(64, 1e-180);
  std::vector<double> half_dead(64, 1.0);
  std::fill_n(half_dead.begin(), 32, 0.0);
  const auto want = choose_grid(w.view(), ones, 3, 32, false, "w");
  for (const auto& weights : {huge, tiny, half_dead}) {
    const auto grid = choose_grid(w.view(), weights, 3, 32, false, "w");
    EXPECT_TRUE(std::equal(want.step.span().begin(), want.step.span().end(), grid.step.span().begin()));
  }
}

TEST(ScaleSearch, RefusesWeightsBeyondF16Steps) {
  auto w = random_weights(3, 64, 7);
  w(2, 40) = 1e30f;
  expect_error(ErrorCode::bad_input, {"blk.0", "group 1 of row 2", "65504"},
               [&] { choose_grid(w.view(), {}, 3, 32, false, "blk.0"); });
  w(2, 40) = -3e38f, w(2, 41) = 3e38f;
  expect_error(ErrorCode::bad_input, {"group 1 of row 2"},
               [&] { choose_grid(w.view(), std::vector<double>(64, 1.0), 3, 32, false, "blk.0"); });
}

TEST(ScaleSearch, EveryTargetFindsEquallyGoodSteps) {
  const auto w = random_weights(70, 64, 8);
  std::vector<double> weights(64);
  Rng rng(9);
  for (auto& x : weights) x = std::exp(rng.normal());
  const auto best = choose_grid(w.view(), weights, 3, 32, false, "w");
  for_every_target([&] {
    const auto grid = choose_grid(w.view(), weights, 3, 32, false, "w");
    for (std::int64_t i = 0; i < 70; ++i)
      for (std::int64_t g = 0; g < 2; ++g)
        EXPECT_NEAR(rounding_error(w, weights, grid, i, g), rounding_error(w, weights, best, i, g),
                    1e-3 * rounding_error(w, weights, best, i, g));
  });
}

TEST(ScaleSearch, SameBitsForAnyNumberOfThreads) {
  const auto w = random_weights(300, 64, 10);
  const std::vector<double> ones(64, 1.0);
  set_thread_count(1);
  const auto one = choose_grid(w.view(), ones, 3, 32, false, "w");
  set_thread_count(3);
  const auto many = choose_grid(w.view(), ones, 3, 32, false, "w");
  set_thread_count(0);
  EXPECT_TRUE(std::equal(one.step.span().begin(), one.step.span().end(), many.step.span().begin()));
  EXPECT_TRUE(std::equal(one.zero.span().begin(), one.zero.span().end(), many.zero.span().begin()));
}

}  // namespace
}  // namespace nearplane
