// The merges of a byte-pair encoding and their application to one word.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace nearplane {

/// A hash table from pairs of tokens to the rank of their merge (smaller first) and its result. Open addressing, at
/// most half full, so that a lookup of a pair that is not there (most are not) touches one cache line.
class MergeTable {
 public:
  struct Entry {
    std::uint64_t key;
    std::uint32_t rank;
    Token result;
  };

  explicit MergeTable(std::size_t merges);
  /// A pair that is set again takes the new rank and result.
  void set(Token left, Token right, std::uint32_t rank, Token result);
  /// nullptr if the pair does not merge.
  const Entry* find(Token left, Token right) const {
    const auto key = key_of(left, right);
    for (std::size_t i = slot_of(key);; i = (i + 1) & (entries_.size() - 1)) {
      if (entries_[i].key == key) return &entries_[i];
      if (entries_[i].key == kEmpty) return nullptr;
    }
  }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  static std::uint64_t key_of(Token left, Token right) {
    return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
  }
  std::size_t slot_of(std::uint64_t key) const { return static_cast<std::size_t>(key * 0x9e3779b97f4a7c15u >> shift_); }

  std::vector<Entry> entries_;
  int shift_;
};

/// Merges neighbours in `symbols` until no pair is in the table: always the pair of smallest rank, the leftmost of
/// those. Cost: O(n^2) for short words (one scan per merge beats any structure there), O(n log n) for long ones.
void merge_symbols(const MergeTable& merges, std::vector<Token>& symbols);

}  // namespace nearplane
