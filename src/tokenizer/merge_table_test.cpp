#include "tokenizer/merge_table.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace nearplane {
namespace {

// The definition: look at all pairs, merge the leftmost of smallest rank, again and again.
std::vector<Token> by_definition(const MergeTable& merges, std::vector<Token> symbols) {
  for (;;) {
    const MergeTable::Entry* best = nullptr;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto* entry = merges.find(symbols[i], symbols[i + 1]);
      if (entry != nullptr && (best == nullptr || entry->rank < best->rank)) best = entry, at = i;
    }
    if (best == nullptr) return symbols;
    symbols[at] = best->result;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

TEST(MergeTable, FindsWhatWasSet) {
  MergeTable merges(2);
  merges.set(1, 2, 5, 10);
  merges.set(2, 1, 6, 11);
  merges.set(1, 2, 7, 12);  // again
  ASSERT_NE(merges.find(1, 2), nullptr);
  EXPECT_EQ(merges.find(1, 2)->rank, 7u);
  EXPECT_EQ(merges.find(1, 2)->result, 12);
  EXPECT_EQ(merges.find(2, 1)->result, 11);
  EXPECT_EQ(merges.find(2, 2), nullptr);
}

TEST(MergeTable, LeftmostOfEqualRank) {
  MergeTable merges(1);
  merges.set(0, 0, 0, 1);
  std::vector<Token> symbols(5, 0);
  merge_symbols(merges, symbols);
  EXPECT_EQ(symbols, (std::vector<Token>{1, 1, 0}));
  symbols.clear();
  merge_symbols(merges, symbols);
  EXPECT_TRUE(symbols.empty());
}

TEST(MergeTable, ShortAndLongWordsFollowTheDefinition) {
  Rng rng(7);
  for (int round = 0; round < 50; ++round) {
    MergeTable merges(40);
    Token next = 4;  // the first four are characters; every merge makes a token of its own
    for (std::uint32_t rank = 0; rank < 40; ++rank)
      merges.set(static_cast<Token>(rng.below(static_cast<std::uint64_t>(next))),
                 static_cast<Token>(rng.below(static_cast<std::uint64_t>(next))), rank, next),
          ++next;
    for (const std::size_t length : {1u, 2u, 31u, 32u, 33u, 200u}) {
      std::vector<Token> symbols(length);
      for (auto& s : symbols) s = static_cast<Token>(rng.below(4));
      const auto expected = by_definition(merges, symbols);
      merge_symbols(merges, symbols);
      EXPECT_EQ(symbols, expected);
    }
  }
}

}  // namespace
}  // namespace nearplane
