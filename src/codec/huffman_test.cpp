#include "codec/huffman.h"

#include <gtest/gtest.h>

#include <functional>
#include <queue>
#include <set>

#include "base/rng.h"
#include "nearplane/error.h"

namespace nearplane {
namespace {

using Counts = std::vector<std::uint64_t>;
using Lengths = std::vector<std::uint8_t>;

std::uint64_t cost(const Counts& counts, const Lengths& lengths) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) bits += counts[i] * lengths[i];
  return bits;
}

// Huffman's own construction: the bits are the sum of all merged weights.
std::uint64_t unlimited_cost(const Counts& counts) {
  std::priority_queue<std::uint64_t, Counts, std::greater<>> heap(counts.begin(), counts.end());
  std::uint64_t bits = 0;
  while (heap.size() > 1) {
    auto sum = heap.top();
    heap.pop();
    sum += heap.top();
    heap.pop();
    heap.push(sum);
    bits += sum;
  }
  return bits;
}

// The best of all length assignments with Kraft sum at most 1.
std::uint64_t best_cost(const Counts& counts, int limit) {
  Lengths lengths(counts.size());
  std::uint64_t best = ~0ull;
  const std::function<void(std::size_t, std::uint64_t)> assign = [&](std::size_t i, std::uint64_t free) {
    if (i == counts.size()) {
      best = std::min(best, cost(counts, lengths));
      return;
    }
    for (int l = 0; l <= limit; ++l)
      if (const auto windows = 1ull << (limit - l); windows <= free) {
        lengths[i] = static_cast<std::uint8_t>(l);
        assign(i + 1, free - windows);
      }
  };
  assign(0, 1ull << limit);
  return best;
}

Counts random_counts(std::size_t n, Rng& rng) {
  Counts counts(n);
  for (auto& c : counts) c = 1 + (rng.bits() >> (44 + rng.below(20)));  // from flat to steep
  return counts;
}

TEST(Huffman, GivesKnownLengthsAndCodes) {
  EXPECT_EQ(huffman_lengths(Counts{1, 1, 2, 4, 8}, 10), (Lengths{4, 4, 3, 2, 1}));
  EXPECT_EQ(huffman_lengths(Counts{1, 1, 2, 4, 8}, 3), (Lengths{3, 3, 3, 3, 1}));
  EXPECT_EQ(huffman_lengths(Counts{7}, 10), Lengths{0});
  EXPECT_EQ(huffman_lengths(Counts{7, 1}, 1), (Lengths{1, 1}));
  // Read from the first bit on: 110, 0, 10, 111; stored with the first bit lowest.
  EXPECT_EQ(huffman_codes(Lengths{3, 1, 2, 3}), (std::vector<std::uint16_t>{0b011, 0b0, 0b01, 0b111}));
  EXPECT_EQ(huffman_codes(Lengths{0}), std::vector<std::uint16_t>{0});
  EXPECT_EQ(huffman_windows(Lengths{3, 1, 2, 3}, 3), (std::vector<std::uint16_t>{1, 2, 1, 0, 1, 2, 1, 3}));
  EXPECT_EQ(huffman_windows(Lengths{0}, 2), (std::vector<std::uint16_t>{0, 0, 0, 0}));
}

TEST(Huffman, IsTheBestOfAllShortCodes) {
  Rng rng(1);
  for (int limit = 1; limit <= 4; ++limit)
    for (std::size_t n = 1; n <= std::min<std::size_t>(6, 1u << limit); ++n)
      for (int trial = 0; trial < 20; ++trial) {
        const auto counts = random_counts(n, rng);
        const auto lengths = huffman_lengths(counts, limit);
        EXPECT_NO_THROW(check_huffman(lengths, limit, "code"));
        EXPECT_EQ(cost(counts, lengths), best_cost(counts, limit)) << n << " symbols, " << limit << " bits";
      }
}

TEST(Huffman, EqualsTheUnlimitedCodeWhereTheLimitIsLoose) {
  Rng rng(2);
  for (const std::size_t n : {2, 3, 17, 100, 1000}) {
    Counts counts(n);
    for (auto& c : counts) c = 1 + rng.below(50);  // counts within 50 of each other: depth below 15
    const auto lengths = huffman_lengths(counts, 15);
    EXPECT_NO_THROW(check_huffman(lengths, 15, "code"));
    EXPECT_EQ(cost(counts, lengths), unlimited_cost(counts));
  }
}

TEST(Huffman, WindowsStartWithTheirSymbol) {
  Rng rng(3);
  for (const std::size_t n : {1, 2, 5, 300, 1024}) {
    const auto lengths = huffman_lengths(random_counts(n, rng), 10);
    const auto codes = huffman_codes(lengths);
    const auto windows = huffman_windows(lengths, 10);
    std::set<std::uint16_t> seen;
    for (std::uint32_t w = 0; w < 1024; ++w) {
      const auto symbol = windows[w];
      ASSERT_EQ(w & ((1u << lengths[symbol]) - 1), codes[symbol]);
      seen.insert(symbol);
    }
    EXPECT_EQ(seen.size(), n);
  }
}

TEST(Huffman, RefusesIncompleteAndOverfullCodes) {
  EXPECT_NO_THROW(check_huffman(Lengths{0}, 10, "code"));
  EXPECT_NO_THROW(check_huffman(Lengths{1, 2, 2}, 2, "code"));
  for (const auto& bad : {Lengths{}, Lengths{1}, Lengths{0, 1}, Lengths{0, 0}, Lengths{1, 2}, Lengths{1, 1, 2},
                          Lengths{1, 2, 3, 3}, Lengths{255}})
    EXPECT_THROW(check_huffman(bad, 2, "code"), Error);
}

}  // namespace
}  // namespace nearplane
