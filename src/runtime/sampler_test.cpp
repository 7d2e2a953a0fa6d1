#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace nearplane {
namespace {

TEST(Sampler, ZeroTemperatureTakesTheFirstOfTheLargest) {
  Rng rng(1);
  EXPECT_EQ(sample(std::array{1.0f, 3.0f, 3.0f, -2.0f}, 0, rng), 1);
}

TEST(Sampler, DrawsWithTheRightFrequencies) {
  const std::array logits{std::log(1.0f) + 7, std::log(2.0f) + 7, std::log(5.0f) + 7};
  Rng rng(2);
  std::array<int, 3> counts{};
  for (int i = 0; i < 80000; ++i) ++counts[static_cast<std::size_t>(sample(logits, 1, rng))];
  EXPECT_NEAR(counts[0], 10000, 400);
  EXPECT_NEAR(counts[1], 20000, 500);
  // temperature 1/2 squares the odds: 1 : 4 : 25
  counts = {};
  for (int i = 0; i < 30000; ++i) ++counts[static_cast<std::size_t>(sample(logits, 0.5, rng))];
  EXPECT_NEAR(counts[0], 1000, 150);
  EXPECT_NEAR(counts[2], 25000, 300);
}

TEST(Sampler, NeverReturnsAnImpossibleToken) {
  const std::array logits{-INFINITY, 0.0f, -INFINITY};
  Rng rng(3);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(sample(logits, 1, rng), 1);
}

}  // namespace
}  // namespace nearplane
