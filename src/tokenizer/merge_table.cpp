#include "tokenizer/merge_table.h"

#include <algorithm>
#include <bit>
#include <queue>

namespace nearplane {
namespace {

constexpr std::size_t kShort = 32;  // symbols
constexpr std::uint32_t kNone = ~std::uint32_t{0};

void merge_short(const MergeTable& merges, std::vector<Token>& symbols) {
  std::uint32_t rank[kShort];  // of (symbols[i], symbols[i + 1])
  Token result[kShort];
  std::size_t n = symbols.size();
  const auto look_up = [&](std::size_t i) {
    const auto* entry = merges.find(symbols[i], symbols[i + 1]);
    rank[i] = entry ? entry->rank : kNone;
    result[i] = entry ? entry->result : 0;
  };
  for (std::size_t i = 0; i + 1 < n; ++i) look_up(i);
  while (n > 1) {
    const auto best = static_cast<std::size_t>(std::min_element(rank, rank + n - 1) - rank);
    if (rank[best] == kNone) break;
    symbols[best] = result[best];
    std::copy(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 2, symbols.begin() + static_cast<std::ptrdiff_t>(n),
              symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    std::copy(rank + best + 1, rank + n - 1, rank + best);
    std::copy(result + best + 1, result + n - 1, result + best);
    --n;
    if (best > 0) look_up(best - 1);
    if (best + 1 < n) look_up(best);
  }
  symbols.resize(n);
}

// A merge that was possible when it was queued: of the symbols at `at` and behind it.
struct Candidate {
  std::uint32_t rank;
  std::size_t at;
  Token left, right, result;
  bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
};

class LongWord {
 public:
  LongWord(const MergeTable& merges, std::vector<Token>& symbols) : merges_(merges), symbols_(symbols) {
    const std::size_t n = symbols.size();
    previous_.resize(n);
    next_.resize(n);
    for (std::size_t i = 0; i < n; ++i) previous_[i] = i - 1, next_[i] = i + 1;
    for (std::size_t i = 0; i + 1 < n; ++i) push(i);
  }

  void run() {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      const std::size_t right = next_[top.at];
      // Tokens say whether the two symbols are still what they were: a merged one is another token, a removed one
      // kGone.
      if (symbols_[top.at] != top.left || right >= symbols_.size() || symbols_[right] != top.right) continue;
      symbols_[top.at] = top.result;
      symbols_[right] = kGone;
      next_[top.at] = next_[right];
      if (next_[right] < symbols_.size()) previous_[next_[right]] = top.at;
      if (top.at > 0) push(previous_[top.at]);
      push(top.at);
    }
    std::erase(symbols_, kGone);
  }

 private:
  static constexpr Token kGone = -1;

  void push(std::size_t at) {
    if (next_[at] >= symbols_.size()) return;
    const Token left = symbols_[at], right = symbols_[next_[at]];
    if (const auto* entry = merges_.find(left, right)) queue_.push({entry->rank, at, left, right, entry->result});
  }

  const MergeTable& merges_;
  std::vector<Token>& symbols_;
  std::vector<std::size_t> previous_, next_;  // neighbours that are left; next = size() at the end
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue_;
};

}  // namespace

MergeTable::MergeTable(std::size_t merges)
    : entries_(std::bit_ceil(std::max<std::size_t>(2 * merges, 2)), Entry{kEmpty, 0, 0}),
      shift_(64 - std::countr_zero(entries_.size())) {}

void MergeTable::set(Token left, Token right, std::uint32_t rank, Token result) {
  const auto key = key_of(left, right);
  std::size_t i = slot_of(key);
  while (entries_[i].key != key && entries_[i].key != kEmpty) i = (i + 1) & (entries_.size() - 1);
  entries_[i] = {key, rank, result};
}

void merge_symbols(const MergeTable& merges, std::vector<Token>& symbols) {
  if (symbols.size() <= kShort) return merge_short(merges, symbols);
  LongWord(merges, symbols).run();
}

}  // namespace nearplane
