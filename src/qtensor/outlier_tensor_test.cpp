#include "qtensor/outlier_tensor.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "codec/pack.h"
#include "expect_error.h"
#include "random_outlier.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

TEST(OutlierTensor, DecodesAKnownRow) {
  OutlierTensor t;
  t.rows = 1, t.cols = 3, t.bits = 2, t.group = 2;
  t.codes = {std::byte{0b10'00'11}};                                                // 3, 0, 2
  t.step_codes = {std::byte{0b000'010}};                                            // 2, 0
  t.zero_codes = {std::byte{0b001'000}};                                            // 0, 1
  t.supers = {{0x3c00, 0x3800, 0x3c00, 0x4000}, {0x4400, 0x3c00, 0x3800, 0x3c00}};  // 1, .5, 1, 2; 4, 1, .5, 1
  t.starts = {0, 1}, t.columns = {1}, t.values = {0xc900};                          // -10
  t.validate("t");
  EXPECT_EQ(t.stored_bytes(), 1 + 1 + 1 + 16 + 8 + 2 + 2);
  std::array<float, 3> out{};
  t.decode_rows(0, 1, out.data());  // steps 2 and 4, zero points 1 and 1.5
  EXPECT_EQ(out, (std::array{4.0f, -10.0f, 2.0f}));
}

TEST(OutlierTensor, DecodesAsThePlainFormulaSays) {
  std::uint64_t seed = 0;
  for (int bits = 2; bits <= 8; ++bits)
    for (const auto& [n, group] : {std::pair{1, 1}, {40, 16}, {64, 64}, {33, 4}}) {
      const auto t = random_outlier(20, n, bits, group, ++seed);
      t.validate("t");
      const auto groups = static_cast<std::size_t>(t.groups());
      std::vector<float> out(static_cast<std::size_t>(2 * n)), step(groups), zero(groups);
      std::vector<std::uint8_t> z(static_cast<std::size_t>(n)), s(groups);
      t.decode_rows(15, 2, out.data());  // of two super groups
      for (std::int64_t r = 15; r < 17; ++r) {
        unpack_row(t.codes.data() + r * packed_row_bytes(n, bits), bits, z);
        unpack_row(t.step_codes.data() + r * packed_row_bytes(t.groups(), 3), 3, s);
        t.scales_of_row(r, step.data(), zero.data());
        for (std::int64_t j = 0; j < n; ++j) {
          const auto g = static_cast<std::size_t>(j / group);
          const auto& super = t.supers[static_cast<std::size_t>(r / 16) * groups + g];
          ASSERT_EQ(step[g], f16_to_f32(super.step_low) + f16_to_f32(super.step_delta) * static_cast<float>(s[g]));
          const auto begin = t.columns.begin() + t.starts[r], end = t.columns.begin() + t.starts[r + 1];
          const auto kept = std::find(begin, end, j);
          const float expected = kept == end ? step[g] * (static_cast<float>(z[j]) - zero[g])
                                             : f16_to_f32(t.values[kept - t.columns.begin()]);
          ASSERT_EQ(out[(r - 15) * n + j], expected);
        }
      }
    }
}

TEST(OutlierTensor, ValidationNamesWhatIsWrong) {
  const auto good = random_outlier(20, 40, 4, 16, 4);
  EXPECT_NO_THROW(good.validate("layer"));
  const auto bad = [&](std::initializer_list<std::string> parts, const auto& change) {
    auto t = good;
    change(t);
    expect_error(ErrorCode::bad_input, {"layer: "}, [&] { t.validate("layer"); });
    expect_error(ErrorCode::bad_input, parts, [&] { t.validate("layer"); });
  };
  bad({"0 x 40"}, [](auto& t) { t.rows = 0; });
  bad({"65537 columns"}, [](auto& t) { t.cols = 65537; });
  bad({"1 bits"}, [](auto& t) { t.bits = 1; });
  bad({"9 bits"}, [](auto& t) { t.bits = 9; });
  bad({"group of 0"}, [](auto& t) { t.group = 0; });
  bad({"group of 41"}, [](auto& t) { t.group = 41; });
  bad({"codes has 399", "400"}, [](auto& t) { t.codes.pop_back(); });
  bad({"step_codes has 39", "40"}, [](auto& t) { t.step_codes.pop_back(); });
  bad({"zero_codes has 41", "40"}, [](auto& t) { t.zero_codes.push_back({}); });
  bad({"supers has 5", "6"}, [](auto& t) { t.supers.pop_back(); });
  bad({"starts has 20", "21"}, [](auto& t) { t.starts.pop_back(); });
  for (const std::uint16_t scale : {0x8000, 0xbc00, 0x7c00, 0x7e00, 0xffff}) {
    bad({"super group 1 of rows from 16"}, [&](auto& t) { t.supers[4].step_low = scale; });
    bad({"super group 0 of rows from 0"}, [&](auto& t) { t.supers[0].step_delta = scale; });
    bad({"super group 2 of rows from 0"}, [&](auto& t) { t.supers[2].zero_low = scale; });
    bad({"super group 2 of rows from 16"}, [&](auto& t) { t.supers[5].zero_delta = scale; });
  }
  bad({"steps from 0 by"}, [](auto& t) { t.supers[0].step_low = 0; });
  bad({"start at 1"}, [](auto& t) { t.starts[0] = 1; });
  bad({"end at"}, [](auto& t) { ++t.starts.back(); });
  bad({"values"}, [](auto& t) { t.values.pop_back(); });
  bad({"row 2 start at", "end at -5"}, [](auto& t) { t.starts[3] = -5; });
  bad({"row 2 start at", "end at 2147483647"}, [](auto& t) { t.starts[3] = 2147483647; });
  bad({"row 0", "column 40"}, [](auto& t) { t.columns[0] = 40; });
  bad({"kept weight", "not after"}, [](auto& t) { t.columns[1] = t.columns[0]; });
  for (const std::uint16_t value : {0x7c00, 0xfc00, 0x7e01})
    bad({"kept weight (0, "}, [&](auto& t) { t.values[0] = value; });
}

}  // namespace
}  // namespace nearplane
