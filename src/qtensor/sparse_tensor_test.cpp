#include "qtensor/sparse_tensor.h"

#include <gtest/gtest.h>

#include <array>

#include "base/threads.h"
#include "expect_error.h"
#include "random_sparse.h"

namespace nearplane {
namespace {

TEST(SparseTensor, DecodesAKnownRow) {
  SparseSource source{{1, 6}, {1, 2}, {4}, {1, 1}, 2, 3};
  std::ranges::copy(std::array{-2, 1, -5, 2, 7, 0}, source.codes.data());
  source.step(0, 0) = 0.5f, source.step(0, 1) = 2;
  source.kept(0, 0) = 0x4900;  // 10
  const auto t = source.pack();
  t.validate("t");
  // Group 0 holds -2 .. 1 (zero point 2), so -5 is listed; group 1 holds -1 .. 2 (zero point 1, sign bit).
  EXPECT_EQ(t.scales, (std::vector<std::uint16_t>{0x3800, 0xC000}));
  EXPECT_EQ(t.codes, (std::vector{std::byte{0b11'00'11'00}, std::byte{0b01'01}}));
  std::vector<Overflow> listed;
  t.overflow->row(0, listed);
  EXPECT_EQ(listed, (std::vector<Overflow>{{2, -3}}));
  std::array<float, 6> out{};
  t.decode_rows(0, 1, out.data());
  EXPECT_EQ(out, (std::array{-1.0f, 0.5f, -2.5f, 4.0f, 10.0f, 0.0f}));
  EXPECT_EQ(t.stored_bytes(), 2 + 4 + 1 + std::ssize(t.overflow->entries()) + 4 + 2);
}

TEST(SparseTensor, DecodesAsThePlainFormulaSays) {
  std::uint64_t seed = 0;
  for (const int bits : {2, 3, 5, 8})
    for (const std::int64_t cols : {1, 31, 100})
      for (const std::int64_t group : {1, 7, 100}) {
        if (group > cols) continue;
        const std::vector<std::int32_t> kept =
            cols == 100 ? std::vector<std::int32_t>{0, 13, 99} : std::vector<std::int32_t>{};
        const auto source = random_sparse(40, cols, bits, group, kept, 2, ++seed);
        const auto t = source.pack();
        t.validate("t");
        std::vector<float> out(static_cast<std::size_t>(30 * cols + 1), 5.0f);
        t.decode_rows(7, 30, out.data());
        EXPECT_EQ(out.back(), 5.0f);
        for (std::int64_t i = 0; i < 30 * cols; ++i) {
          const auto r = 7 + i / cols, j = i % cols;
          const auto place = std::ranges::find(kept, j);
          const float want = place != kept.end() ? f16_to_f32(source.kept(r, place - kept.begin()))
                                                 : source.step(r, j / group) * static_cast<float>(source.codes(r, j));
          ASSERT_EQ(out[static_cast<std::size_t>(i)], want) << r << ", " << j;
        }
      }
}

TEST(SparseTensor, CountsEveryByteAndPacksTheSameForAnyNumberOfThreads) {
  const auto source = random_sparse(70, 128, 3, 64, {5}, 2, 9);
  const auto pack = [&](int threads) {
    set_thread_count(threads);
    return source.pack();
  };
  const auto one = pack(1), three = pack(3);
  set_thread_count(0);
  EXPECT_EQ(one.codes, three.codes);
  EXPECT_EQ(one.scales, three.scales);
  EXPECT_EQ(one.overflow->entries(), three.overflow->entries());
  EXPECT_EQ(one.stored_bytes(),
            70 * (48 + 2 * 2 + 2) + 4 + std::ssize(one.overflow->counts()) + std::ssize(one.overflow->entries()));
  std::int64_t listed = 0;
  std::vector<Overflow> row;
  for (std::int64_t r = 0; r < 70; ++r, row.clear()) one.overflow->row(r, row), listed += std::ssize(row);
  EXPECT_EQ(one.overflow_share(), static_cast<double>(listed) / (70 * 128));
}

TEST(SparseTensor, ValidationNamesWhatIsWrong) {
  auto source = random_sparse(3, 40, 3, 16, {4, 20}, 2, 4);
  source.codes(1, 7) = 20, source.codes(2, 9) = -20;
  const auto good = source.pack();
  EXPECT_NO_THROW(good.validate("layer"));
  const auto bad = [&](std::initializer_list<std::string> parts, const auto& change) {
    auto t = good;
    change(t);
    expect_error(ErrorCode::bad_input, {"layer: "}, [&] { t.validate("layer"); });
    expect_error(ErrorCode::bad_input, parts, [&] { t.validate("layer"); });
  };
  bad({"0 x 40"}, [](auto& t) { t.rows = 0; });
  bad({"1 bits"}, [](auto& t) { t.bits = 1; });
  bad({"9 bits"}, [](auto& t) { t.bits = 9; });
  bad({"group of 0"}, [](auto& t) { t.group = 0; });
  bad({"group of 41"}, [](auto& t) { t.group = 41; });
  bad({"codes has 44", "45"}, [](auto& t) { t.codes.pop_back(); });
  bad({"scales has 10", "9"}, [](auto& t) { t.scales.push_back(1); });
  bad({"kept has 5", "6"}, [](auto& t) { t.kept.pop_back(); });
  for (const std::uint16_t scale : {0x0000, 0x8000, 0x7c00, 0x7e00, 0xfc00, 0xffff})
    bad({"scale 1 of row 2"}, [&](auto& t) { t.scales[7] = scale; });
  bad({"kept column 1 is 4", "ascending"}, [](auto& t) { t.kept_columns[1] = 4; });
  bad({"kept column 1 is 40"}, [](auto& t) { t.kept_columns[1] = 40; });
  bad({"kept column 0 is -1"}, [](auto& t) { t.kept_columns[0] = -1; });
  bad({"kept weight 1 of row 1", "inf"}, [](auto& t) { t.kept[3] = 0x7c00; });
  bad({"row 0, kept column 5", "dense code"}, [](auto& t) { t.kept_columns[0] = 5; });
  bad({"no list"}, [](auto& t) { t.overflow.reset(); });
  const auto listed = [](std::int64_t row, std::vector<Overflow> codes) {
    std::vector<std::vector<Overflow>> rows(3);
    rows[static_cast<std::size_t>(row)] = std::move(codes);
    return SparseList::pack(rows);
  };
  bad({"list of 2 rows", "3"}, [](auto& t) { t.overflow = SparseList::pack(std::vector<std::vector<Overflow>>(2)); });
  bad({"row 1 lists -13", "column 7"}, [&](auto& t) { t.overflow = listed(1, {{7, -13}}); });
  bad({"row 2 lists 13", "column 9"}, [&](auto& t) { t.overflow = listed(2, {{9, 13}}); });
  bad({"row 1 lists 32768", "column 7"}, [&](auto& t) { t.overflow = listed(1, {{7, 32768}}); });
  bad({"row 1 lists column 40 of 40"}, [&](auto& t) { t.overflow = listed(1, {{40, 1}}); });
  bad({"row 1 lists 1", "column 20"}, [&](auto& t) { t.overflow = listed(1, {{20, 1}}); });  // a kept column
}

}  // namespace
}  // namespace nearplane
