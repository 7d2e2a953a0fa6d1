#include "codec/huffman.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <numeric>

#include "base/check.h"

namespace nearplane {
namespace {

// One list of package-merge: symbols by weight, merged with the pairs of the list before.
struct Level {
  std::vector<std::uint64_t> weights;
  std::vector<bool> is_symbol;
};

Level merge_pairs(std::span<const std::uint64_t> sorted, const std::vector<std::uint64_t>& before) {
  Level level;
  std::size_t symbol = 0, pair = 0;
  const auto pairs = before.size() / 2;
  while (symbol < sorted.size() || pair < pairs) {
    const auto weight = pair < pairs ? before[2 * pair] + before[2 * pair + 1] : 0;
    const bool take_symbol = pair == pairs || (symbol < sorted.size() && sorted[symbol] <= weight);
    level.weights.push_back(take_symbol ? sorted[symbol] : weight);
    level.is_symbol.push_back(take_symbol);
    ++(take_symbol ? symbol : pair);
  }
  return level;
}

}  // namespace

std::vector<std::uint8_t> huffman_lengths(std::span<const std::uint64_t> counts, int limit) {
  const auto n = counts.size();
  assert(n >= 1 && limit >= 0 && limit <= kLongestCode && n <= std::size_t{1} << limit);
  std::vector<std::uint8_t> lengths(n);
  if (n == 1) return lengths;
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return counts[a] < counts[b]; });
  std::vector<std::uint64_t> sorted(n);
  for (std::size_t i = 0; i < n; ++i) sorted[i] = counts[order[i]];

  std::vector<Level> levels;
  for (int l = 0; l < limit; ++l)
    levels.push_back(merge_pairs(sorted, l > 0 ? levels.back().weights : std::vector<std::uint64_t>{}));
  // The 2n - 2 lightest entries of the last list: each symbol among them, or among the pairs they stand for, adds a
  // bit.
  auto take = static_cast<std::ptrdiff_t>(2 * n - 2);
  for (auto level = levels.rbegin(); level != levels.rend() && take > 0; ++level) {
    const auto symbols = std::count(level->is_symbol.begin(), level->is_symbol.begin() + take, true);
    for (std::ptrdiff_t i = 0; i < symbols; ++i) ++lengths[order[static_cast<std::size_t>(i)]];
    take = 2 * (take - symbols);
  }
  return lengths;
}

void check_huffman(std::span<const std::uint8_t> lengths, int limit, const std::string& where) {
  assert(limit >= 0 && limit <= kLongestCode);
  if (lengths.empty()) fail_input(where, "a prefix code has no symbols");
  std::uint64_t kraft = 0;  // in units of 2^-limit
  for (const int length : lengths) {
    if (length > limit) fail_input(where, "a code of {} bits in a table of {} bits", length, limit);
    kraft += 1ull << (limit - length);
  }
  if (kraft != 1ull << limit)
    fail_input(where, "the lengths of {} codes fill {} of {} windows", lengths.size(), kraft, 1ull << limit);
}

std::vector<std::uint16_t> huffman_codes(std::span<const std::uint8_t> lengths) {
  std::array<std::uint32_t, kLongestCode + 2> next{};  // first code of each length, first bit most significant
  for (const auto length : lengths) ++next[length + 1u];
  for (std::uint32_t l = 1, code = 0; l < next.size(); ++l) {
    const auto shorter = next[l];
    next[l] = code = (code + (l == 1 ? 0 : shorter)) << 1;
  }
  std::vector<std::uint16_t> codes;
  for (const int length : lengths) {
    const auto forward = next[static_cast<std::size_t>(length)]++;
    std::uint32_t reversed = 0;
    for (int bit = 0; bit < length; ++bit) reversed |= (forward >> bit & 1) << (length - 1 - bit);
    codes.push_back(static_cast<std::uint16_t>(reversed));
  }
  return codes;
}

std::vector<std::uint16_t> huffman_windows(std::span<const std::uint8_t> lengths, int limit) {
  const auto codes = huffman_codes(lengths);
  std::vector<std::uint16_t> windows(std::size_t{1} << limit);
  for (std::size_t symbol = 0; symbol < codes.size(); ++symbol)
    for (std::size_t w = codes[symbol]; w < windows.size(); w += std::size_t{1} << lengths[symbol])
      windows[w] = static_cast<std::uint16_t>(symbol);
  return windows;
}

}  // namespace nearplane
