#include "codec/trellis_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/rng.h"

namespace nearplane {
namespace {

using Levels = std::vector<std::int32_t>;

std::vector<double> normals(std::size_t count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<double> x(count);
  for (auto& v : x) v = rng.normal();
  return x;
}

double ideal_bits(const Trellis& trellis, const Levels& levels, std::int64_t cols, const LevelBits& bits) {
  double sum = 0;
  int state = 0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    if (i % static_cast<std::size_t>(cols) == 0) state = 0;
    sum += bits(Trellis::quantizer(state), levels[i]);
    state = trellis.next(state, levels[i]);
  }
  return sum;
}

TEST(TrellisMachine, MovesAsWorkedOutByHand) {
  // h0 = 101, h1 = 010: from states 0, 1, 2, 3 with an even and an odd level.
  const auto& four = *find_trellis(4);
  const int next[4][2] = {{0, 1}, {2, 3}, {1, 0}, {3, 2}};
  for (int s = 0; s < 4; ++s)
    for (const int level : {-3, -2, -1, 0, 1, 2}) EXPECT_EQ(four.next(s, level), next[s][level & 1]);
  const int points[2][5] = {{-4, -2, 0, 2, 4}, {-3, -1, 0, 1, 3}};
  for (int s = 0; s < 4; ++s)
    for (int level = -2; level <= 2; ++level) EXPECT_EQ(four.point(s, level), points[s & 1][level + 2]);
  EXPECT_EQ(find_trellis(1)->point(0, -5), -5);
  EXPECT_EQ(find_trellis(1)->next(0, -5), 0);
  EXPECT_EQ(find_trellis(2), nullptr);
  EXPECT_EQ(find_trellis(0), nullptr);
}

// Two branches leave and two enter each state; log2(states) weights reach every state from every state, and the
// parity check h0 * quantizer bits + h1 * parities = 0 (mod 2) holds at every time.
TEST(TrellisMachine, IsTheCodeOfItsParityCheck) {
  for (const auto& trellis : kTrellises) {
    if (trellis.states == 1) continue;
    std::multiset<int> entered;
    for (int s = 0; s < trellis.states; ++s)
      for (int parity = 0; parity < 2; ++parity) entered.insert(trellis.next(s, parity));
    for (int s = 0; s < trellis.states; ++s) EXPECT_EQ(entered.count(s), 2u);
    Rng rng(3);
    std::vector<int> quantizers, parities;
    for (int state = 0, i = 0; i < 1000; ++i) {
      quantizers.push_back(Trellis::quantizer(state));
      parities.push_back(static_cast<int>(rng.below(2)));
      state = trellis.next(state, parities.back());
    }
    for (std::size_t i = 4; i < 1000; ++i) {
      int sum = quantizers[i];
      for (std::size_t d = 1; d <= 4; ++d)
        sum += (trellis.h0 >> (d - 1) & quantizers[i - d]) + (trellis.h1 >> (d - 1) & parities[i - d]);
      ASSERT_EQ(sum % 2, 0) << trellis.states << " states";
    }
  }
}

TEST(TrellisSearch, FindsTheBestOfAllPaths) {
  for (const auto& trellis : kTrellises) {
    const auto x = normals(5, 11);
    LevelBits::Counts counts;
    for (auto& table : counts) table = {{-2, 2}, {-1, 10}, {0, 30}, {1, 9}, {2, 3}};
    const LevelBits bits(counts);
    const double step = 0.8, lambda = 0.05;
    const auto cost = [&](const Levels& levels) {
      return trellis_distortion(trellis, x, levels, 5, step) + lambda * ideal_bits(trellis, levels, 5, bits);
    };
    Levels levels(5);
    double best = 1e30;
    for (int code = 0; code < 9 * 9 * 9 * 9 * 9; ++code) {
      for (int i = 0, rest = code; i < 5; ++i, rest /= 9) levels[static_cast<std::size_t>(i)] = rest % 9 - 4;
      best = std::min(best, cost(levels));
    }
    EXPECT_NEAR(cost(trellis_search(trellis, x, 5, step, lambda, bits)), best, 1e-12) << trellis.states << " states";
  }
}

TEST(TrellisSearch, WithoutTrellisAndRateRounds) {
  const auto x = normals(100, 5);
  const auto levels = trellis_search(kTrellises[0], x, 50, 0.3, 0, {});
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(levels[i], std::lround(x[i] / 0.3));
}

// Granular gain of Ungerboeck codes on a fine grid: 4 states 0.99 dB, 8 states 1.09 dB, 16 states 1.16 dB; zero in both
// quantizers costs nothing where levels are many. A step with a trellis holds twice the points of a step without.
TEST(TrellisSearch, HasTheGranularGainOfItsCode) {
  const auto x = normals(40000, 6);
  const double step = 1.0 / 64;
  const double gains[] = {0.99, 1.09, 1.16};
  for (int t = 1; t < 4; ++t) {
    const auto levels = trellis_search(kTrellises[t], x, 40000, step, 0, {});
    const auto distortion = trellis_distortion(kTrellises[t], x, levels, 40000, step) / 40000;
    const double gain = 10 * std::log10(step * step / 12 / distortion);
    EXPECT_NEAR(gain, gains[t - 1], 0.05) << kTrellises[t].states << " states";
  }
}

TEST(TrellisSearch, EachRowStartsInStateZero) {
  const auto x = normals(60, 7);
  const auto& trellis = kTrellises[2];
  const auto whole = trellis_search(trellis, x, 20, 0.5, 0.01, {});
  for (std::size_t row = 0; row < 3; ++row) {
    const auto alone = trellis_search(trellis, std::span(x).subspan(20 * row, 20), 20, 0.5, 0.01, {});
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), whole.begin() + static_cast<std::ptrdiff_t>(20 * row)));
  }
}

}  // namespace
}  // namespace nearplane
