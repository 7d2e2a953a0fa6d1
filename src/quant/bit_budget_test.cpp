#include "quant/bit_budget.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace nearplane {
namespace {

using Units = std::vector<std::vector<BitChoice>>;

std::int64_t bytes_of(const Units& units, const std::vector<std::size_t>& chosen) {
  std::int64_t sum = 0;
  for (std::size_t u = 0; u < units.size(); ++u) sum += units[u][chosen[u]].bytes;
  return sum;
}

double cost_of(const Units& units, const std::vector<std::size_t>& chosen) {
  double sum = 0;
  for (std::size_t u = 0; u < units.size(); ++u) sum += units[u][chosen[u]].cost;
  return sum;
}

TEST(ShareBits, TwoUnitsByHand) {
  const Units units{{{2, 20, 8}, {3, 30, 2}, {4, 40, 0.5}}, {{2, 20, 100}, {3, 30, 25}, {4, 40, 6}}};
  using Chosen = std::vector<std::size_t>;
  EXPECT_EQ(share_bits(units, 40), (Chosen{0, 0}));
  EXPECT_EQ(share_bits(units, 49), (Chosen{0, 0}));
  EXPECT_EQ(share_bits(units, 50), (Chosen{0, 1}));
  EXPECT_EQ(share_bits(units, 60), (Chosen{0, 2}));
  EXPECT_EQ(share_bits(units, 70), (Chosen{1, 2}));
  EXPECT_EQ(share_bits(units, 1000), (Chosen{2, 2}));
}

TEST(ShareBits, SkipsChoicesAboveTheHullAndThoseThatSaveNothing) {
  const Units units{{{2, 20, 10}, {3, 30, 9}, {4, 40, 1}, {5, 50, 1}}};
  EXPECT_EQ(share_bits(units, 39).front(), 0u);  // 3 bits fit, and are no step of the hull
  EXPECT_EQ(share_bits(units, 60).front(), 2u);
}

TEST(ShareBits, ASmallStepTakesWhatALargeOneLeaves) {
  const Units units{{{2, 20, 100}, {3, 60, 0}}, {{2, 20, 1}, {3, 25, 0}}};
  EXPECT_EQ(share_bits(units, 50), (std::vector<std::size_t>{0, 1}));
}

TEST(ShareBits, ComesWithinOneStepOfTheOptimumFoundByTryingAll) {
  Rng rng(1);
  for (int trial = 0; trial < 100; ++trial) {
    Units units(5);
    double largest_step = 0;
    for (auto& unit : units) {
      const double scale = std::exp(2 * rng.normal());
      const auto width = static_cast<std::int64_t>(10 + rng.below(30));
      for (const int bits : {2, 3, 4, 8}) unit.push_back({bits, bits * width, scale * std::exp2(-2 * bits)});
      largest_step = std::max(largest_step, unit[0].cost - unit[1].cost);
    }
    const auto least = bytes_of(units, {0, 0, 0, 0, 0});
    const auto budget = least + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(3 * least)));
    double best = 1e300;
    for (std::size_t code = 0; code < 1024; ++code) {
      std::vector<std::size_t> chosen;
      for (std::size_t u = 0; u < 5; ++u) chosen.push_back(code >> (2 * u) & 3);
      if (bytes_of(units, chosen) <= budget) best = std::min(best, cost_of(units, chosen));
    }
    const auto chosen = share_bits(units, budget);
    EXPECT_LE(bytes_of(units, chosen), budget);
    EXPECT_GE(cost_of(units, chosen), best - 1e-12);
    EXPECT_LE(cost_of(units, chosen), best + largest_step);
  }
}

}  // namespace
}  // namespace nearplane
