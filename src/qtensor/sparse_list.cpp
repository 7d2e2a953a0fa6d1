#include "qtensor/sparse_list.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstdlib>
#include <map>

#include "base/check.h"
#include "codec/bit_stream.h"

namespace nearplane {
namespace {

using Layout = SparseList::Layout;

constexpr int kLeastGap = 2, kMostGap = 12, kMostDelta = 8, kMostCount = 24;

std::int64_t bytes_of(std::int64_t numbers, int bits) { return (numbers * bits + 7) / 8; }

// Number k of `bits` <= 24 bits.
std::uint32_t number_at(std::span<const std::byte> stream, std::int64_t k, int bits) {
  const auto first = static_cast<std::size_t>(k * bits), last = first + static_cast<std::size_t>(bits);
  std::uint64_t value = 0;
  for (auto byte = first / 8; byte * 8 < last; ++byte)
    value |= std::to_integer<std::uint64_t>(stream[byte]) << (8 * (byte - first / 8));
  return static_cast<std::uint32_t>(value >> (first % 8) & ((1u << bits) - 1));
}

bool ends_in_zeros(std::span<const std::byte> stream, std::int64_t numbers, int bits) {
  const auto used = static_cast<int>(numbers * bits % 8);
  return used == 0 || std::to_integer<int>(stream.back()) >> used == 0;
}

struct Entry {
  std::int32_t gap, delta;  // delta 0: the largest gap, which only goes on
};

std::int32_t largest_gap(const Layout& l) { return (1 << l.gap_bits) - 1; }
std::int32_t largest_delta(const Layout& l) { return 1 << (l.delta_bits - 1); }

// The difference after the gap: bit 0 is its sign, the others its size less 1.
Entry entry_of(std::uint32_t number, const Layout& l) {
  const auto gap = static_cast<std::int32_t>(number) & largest_gap(l);
  const auto field = static_cast<std::int32_t>(number >> l.gap_bits);
  if (gap == largest_gap(l)) return {gap, 0};
  return {gap, (field & 1) != 0 ? -(field >> 1) - 1 : (field >> 1) + 1};
}

std::uint32_t number_of(const Entry& e, const Layout& l) {
  const auto field = e.delta == 0 ? 0 : (std::abs(e.delta) - 1) << 1 | static_cast<std::int32_t>(e.delta < 0);
  return static_cast<std::uint32_t>(e.gap | field << l.gap_bits);
}

template <class F>
void for_entries(const std::vector<Overflow>& row, const Layout& l, const F& put) {
  std::int32_t at = 0;
  for (const auto& code : row) {
    for (; code.column - at >= largest_gap(l); at += largest_gap(l)) put({largest_gap(l), 0});
    for (auto left = code.delta; left != 0;) {
      const auto delta = std::clamp(left, -largest_delta(l), largest_delta(l));
      put({code.column - at, delta});
      at = code.column, left -= delta;
    }
  }
}

// How often each gap and each size of a difference occurs.
struct Statistics {
  std::map<std::int32_t, std::int64_t> gaps, deltas;

  explicit Statistics(std::span<const std::vector<Overflow>> rows) {
    for (const auto& row : rows) {
      std::int32_t at = 0;
      for (const auto& code : row) {
        ++gaps[code.column - at], ++deltas[std::abs(code.delta)];
        at = code.column;
      }
    }
  }

  std::int64_t bits(const Layout& l) const {
    std::int64_t entries = 0;
    for (const auto& [gap, count] : gaps) entries += count * (gap / largest_gap(l));
    for (const auto& [delta, count] : deltas) entries += count * ((delta - 1) / largest_delta(l) + 1);
    return entries * (l.gap_bits + l.delta_bits);
  }
};

Layout smallest_layout(std::span<const std::vector<Overflow>> rows) {
  const Statistics statistics(rows);
  Layout best{.gap_bits = 6, .delta_bits = 2, .count_bits = 0};
  auto least = statistics.bits(best);
  for (int gap = kLeastGap; gap <= kMostGap; ++gap)
    for (int delta = 1; delta <= kMostDelta; ++delta) {
      const Layout l{.gap_bits = gap, .delta_bits = delta, .count_bits = 0};
      const auto bits = statistics.bits(l);
      if (bits < least) least = bits, best = l;
    }
  return best;
}

}  // namespace

SparseList SparseList::pack(std::span<const std::vector<Overflow>> rows) {
  SparseList out;
  out.layout_ = smallest_layout(rows);
  auto& l = out.layout_;
  BitWriter entries, counts;
  std::uint32_t most = 0;
  for (const auto& row : rows) {
    auto& end = out.starts_.emplace_back(out.starts_.back());
    for_entries(row, l, [&](const Entry& e) {
      entries.put(number_of(e, l), l.gap_bits + l.delta_bits);
      ++end;
    });
    most = std::max(most, static_cast<std::uint32_t>(end - out.starts_[out.starts_.size() - 2]));
  }
  l.count_bits = std::bit_width(most);
  assert(l.count_bits <= kMostCount);
  for (std::int64_t r = 0; r < out.rows(); ++r)
    counts.put(static_cast<std::uint64_t>(out.starts_[r + 1] - out.starts_[r]), l.count_bits);
  out.counts_ = std::move(counts).finish(), out.entries_ = std::move(entries).finish();
  return out;
}

SparseList::SparseList(const Layout& layout, std::int64_t rows, std::int64_t cols, std::vector<std::byte> counts,
                       std::vector<std::byte> entries, const std::string& where)
    : layout_(layout), counts_(std::move(counts)), entries_(std::move(entries)) {
  if (layout.gap_bits < kLeastGap || layout.gap_bits > kMostGap || layout.delta_bits < 1 ||
      layout.delta_bits > kMostDelta || layout.count_bits < 0 || layout.count_bits > kMostCount)
    fail_input(where, "a list with gaps of {}, differences of {} and counts of {} bits: out of range", layout.gap_bits,
               layout.delta_bits, layout.count_bits);
  const auto expect = [&](const char* what, const std::vector<std::byte>& stream, std::int64_t numbers, int bits) {
    if (std::ssize(stream) != bytes_of(numbers, bits) || !ends_in_zeros(stream, numbers, bits))
      fail_input(where, "{} are {} bytes, not {} numbers of {} bits and zeros", what, stream.size(), numbers, bits);
  };
  expect("counts", counts_, rows, layout.count_bits);
  for (std::int64_t r = 0; r < rows; ++r) starts_.push_back(starts_.back() + number_at(counts_, r, layout.count_bits));
  expect("entries", entries_, size(), layout.gap_bits + layout.delta_bits);
  for (std::int64_t r = 0; r < rows; ++r) check_row(r, cols, where);
}

// One way to write a list: a row does not end on the way, and only the last entry of a difference is less than the
// largest one.
void SparseList::check_row(std::int64_t r, std::int64_t cols, const std::string& where) const {
  std::int64_t at = 0;
  Entry before{1, 0};
  for (auto k = starts_[r]; k < starts_[r + 1]; ++k) {
    const auto number = number_at(entries_, k, layout_.gap_bits + layout_.delta_bits);
    const auto e = entry_of(number, layout_);
    at += e.gap;
    if (at >= cols) fail_input(where, "entry {} of row {} is at column {} of {}", k - starts_[r], r, at, cols);
    const bool again = e.gap == 0 && before.delta != 0;
    if (number != number_of(e, layout_) || (e.delta == 0 && k + 1 == starts_[r + 1]) ||
        (again && (std::abs(before.delta) != largest_delta(layout_) || (before.delta < 0) != (e.delta < 0))))
      fail_input(where, "entry {} of row {} says what another way of writing says", k - starts_[r], r);
    before = e;
  }
}

void SparseList::row(std::int64_t r, std::vector<Overflow>& out) const {
  std::int32_t at = 0;
  bool fresh = true;  // no code of this column yet
  for (auto k = starts_[r]; k < starts_[r + 1]; ++k) {
    const auto e = entry_of(number_at(entries_, k, layout_.gap_bits + layout_.delta_bits), layout_);
    at += e.gap;
    fresh = fresh || e.gap > 0;
    if (e.delta == 0) continue;
    if (fresh)
      out.push_back({at, e.delta});
    else
      out.back().delta += e.delta;
    fresh = false;
  }
}

}  // namespace nearplane
