#include "qtensor/sparse_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "expect_error.h"

namespace nearplane {
namespace {

using Rows = std::vector<std::vector<Overflow>>;

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

std::vector<Overflow> row_of(const SparseList& list, std::int64_t r) {
  std::vector<Overflow> out;
  list.row(r, out);
  return out;
}

// One column in `sparsity`, differences mostly 1, some in the thousands.
Rows random_rows(std::int64_t rows, std::int64_t cols, std::uint64_t sparsity, std::uint64_t seed) {
  Rng rng(seed);
  Rows out(static_cast<std::size_t>(rows));
  for (auto& row : out)
    for (std::int64_t j = 0; j < cols; ++j) {
      if (rng.below(sparsity) != 0) continue;
      const auto size = 1 + static_cast<std::int32_t>(std::pow(rng.uniform(), 20) * 5000);
      row.push_back({static_cast<std::int32_t>(j), rng.below(2) == 0 ? size : -size});
    }
  return out;
}

TEST(SparseList, ReadsTheDocumentedExample) {
  // Row 0: +1 at column 2, -3 at column 9 in three entries: 7 columns on, -2, -1. Row 1: +2 at column 0.
  const SparseList list({.gap_bits = 3, .delta_bits = 2, .count_bits = 3}, 2, 10, bytes({0x0C}),
                        bytes({0xE2, 0x60, 0x04, 0x01}), "list");
  EXPECT_EQ(list.size(), 5);
  EXPECT_EQ(row_of(list, 0), (std::vector<Overflow>{{2, 1}, {9, -3}}));
  EXPECT_EQ(row_of(list, 1), (std::vector<Overflow>{{0, 2}}));
}

TEST(SparseList, GivesBackWhatWasPacked) {
  for (const std::uint64_t sparsity : {2, 30, 700})
    for (const std::int64_t cols : {1, 64, 5000}) {
      const auto rows = random_rows(20, cols, sparsity, sparsity + static_cast<std::uint64_t>(cols));
      const auto list = SparseList::pack(rows);
      EXPECT_EQ(list.rows(), 20);
      const SparseList again(list.layout(), 20, cols, list.counts(), list.entries(), "list");
      EXPECT_EQ(again.size(), list.size());
      for (std::int64_t r = 0; r < 20; ++r) {
        EXPECT_EQ(row_of(list, r), rows[static_cast<std::size_t>(r)]);
        EXPECT_EQ(row_of(again, r), rows[static_cast<std::size_t>(r)]);
      }
    }
}

TEST(SparseList, TakesAboutElevenBitsACodeAtOnePercent) {
  Rng rng(1);
  Rows rows(100);
  std::int64_t codes = 0;
  for (auto& row : rows)
    for (std::int32_t j = 0; j < 4096; ++j) {
      const auto size = static_cast<std::int32_t>(std::abs(rng.normal()) / 2.326 * 4 + 0.5) - 4;  // 0.9 %
      if (size > 0) row.push_back({j, size}), ++codes;
    }
  EXPECT_NEAR(static_cast<double>(codes), 0.009 * 100 * 4096, 1000);
  const auto list = SparseList::pack(rows);
  const auto size = 8 * static_cast<double>(std::ssize(list.counts()) + std::ssize(list.entries()));
  EXPECT_LT(size, 11.5 * static_cast<double>(codes));
}

TEST(SparseList, AnEmptyListTakesNothing) {
  const auto list = SparseList::pack(Rows(5));
  EXPECT_EQ(list.size(), 0);
  EXPECT_TRUE(list.counts().empty() && list.entries().empty());
  EXPECT_TRUE(row_of(SparseList(list.layout(), 5, 3, {}, {}, "list"), 4).empty());
}

class HostileList : public testing::Test {
 protected:
  const SparseList::Layout layout{.gap_bits = 3, .delta_bits = 2, .count_bits = 8};
  // One row of 20 columns.
  void refused(std::initializer_list<int> entries, std::initializer_list<std::string> parts) const {
    std::uint64_t stream = 0;
    int at = 0;
    for (const int e : entries) stream |= static_cast<std::uint64_t>(e) << at, at += 5;
    std::vector<std::byte> packed;
    for (int i = 0; i < at; i += 8) packed.push_back(static_cast<std::byte>(stream >> i));
    const auto count = bytes({static_cast<int>(entries.size())});
    if (parts.size() == 0)
      EXPECT_NO_THROW(SparseList(layout, 1, 20, count, packed, "list"));
    else
      expect_error(ErrorCode::bad_input, parts, [&] { SparseList(layout, 1, 20, count, packed, "list"); });
  }
  static int entry(int gap, int delta) { return gap | ((std::abs(delta) - 1) << 1 | (delta < 0 ? 1 : 0)) << 3; }
  static constexpr int kOn = 7;
};

TEST_F(HostileList, TakesOneWayOfWritingOnly) {
  refused({entry(3, 1), entry(0, 2)}, {"list", "entry 1 of row 0", "another way"});  // 1 was not the largest
  refused({entry(3, 2), entry(0, -1)}, {"entry 1 of row 0", "another way"});
  refused({entry(3, 2), kOn}, {"entry 1 of row 0", "another way"});           // nothing on the way
  refused({kOn | 1 << 3, entry(1, 1)}, {"entry 0 of row 0", "another way"});  // a difference on the way
  refused({entry(3, 2), entry(0, 1), kOn, entry(0, -2), entry(0, -1)}, {});
  refused({entry(0, 1), entry(1, 1), entry(6, 1)}, {});
}

TEST_F(HostileList, ColumnsEnd) {
  refused({kOn, kOn, entry(5, 1)}, {});
  refused({kOn, kOn, entry(6, 1)}, {"list", "entry 2 of row 0", "column 20 of 20"});
  refused({kOn, kOn, kOn}, {"entry 2 of row 0", "column 21 of 20"});
}

TEST_F(HostileList, SizesMustFit) {
  const auto good = SparseList::pack(random_rows(9, 500, 20, 3));
  const auto read = [&](const SparseList::Layout& l, std::int64_t rows, std::vector<std::byte> counts,
                        std::vector<std::byte> entries) {
    expect_error(ErrorCode::bad_input, {"blk.3"}, [&] { SparseList(l, rows, 500, counts, entries, "blk.3"); });
  };
  for (const int bits : {-1, 0, 1, 13, 1000}) {
    auto l = good.layout();
    l.gap_bits = bits;
    read(l, 9, good.counts(), good.entries());
  }
  for (const int bits : {-1, 0, 9, 1 << 30}) {
    auto l = good.layout();
    l.delta_bits = bits;
    read(l, 9, good.counts(), good.entries());
  }
  for (const int bits : {-1, 25}) {
    auto l = good.layout();
    l.count_bits = bits;
    read(l, 9, good.counts(), good.entries());
  }
  read(good.layout(), 1000, good.counts(), good.entries());
  auto longer = good.entries();
  longer.push_back({});
  read(good.layout(), 9, good.counts(), longer);
  longer = good.counts();
  longer.push_back({});
  read(good.layout(), 9, longer, good.entries());
  for (std::size_t size = 0; size < good.entries().size(); ++size)
    read(good.layout(), 9, good.counts(), {good.entries().begin(), good.entries().begin() + static_cast<long>(size)});
  for (std::size_t size = 0; size < good.counts().size(); ++size)
    read(good.layout(), 9, {good.counts().begin(), good.counts().begin() + static_cast<long>(size)}, good.entries());
}

// Whatever the bytes: an error, or a list that stays inside the matrix.
TEST_F(HostileList, AnyBytesAreReadOrRefused) {
  Rng rng(5);
  int read = 0;
  for (int trial = 0; trial < 20000; ++trial) {
    const SparseList::Layout l{.gap_bits = 2 + static_cast<int>(rng.below(4)),
                               .delta_bits = 1 + static_cast<int>(rng.below(3)),
                               .count_bits = static_cast<int>(rng.below(3))};
    const std::int64_t rows = 1 + static_cast<std::int64_t>(rng.below(4));
    std::vector<std::byte> counts((static_cast<std::size_t>(rows * l.count_bits) + 7) / 8), entries(rng.below(6));
    for (auto& b : counts) b = static_cast<std::byte>(rng.below(16));
    for (auto& b : entries) b = static_cast<std::byte>(rng.below(256));
    try {
      const SparseList list(l, rows, 30, counts, entries, "list");
      ++read;
      for (std::int64_t r = 0; r < rows; ++r)
        for (const auto& [column, delta] : row_of(list, r)) ASSERT_TRUE(column >= 0 && column < 30 && delta != 0);
    } catch (const Error& error) {
      ASSERT_EQ(error.code(), ErrorCode::bad_input);
    }
  }
  EXPECT_GT(read, 20);
}

}  // namespace
}  // namespace nearplane
