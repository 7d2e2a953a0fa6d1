#include "qtensor/split_tensor.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "codec/pack.h"
#include "expect_error.h"
#include "random_split.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

TEST(SplitTensor, DecodesAKnownRow) {
  SplitTensor t;
  t.rows = 1, t.cols = 4, t.bits = 2, t.outliers = 2;
  t.codes = {std::byte{0b11'01'10'00}};   // 0, 2, 1, 3
  t.scales = {{0x3c00, 0x4400, 0x3800}};  // 1, 4, 0.5
  Matrix<std::int32_t> columns(1, 2);
  columns(0, 0) = 1, columns(0, 1) = 3;
  t.gaps.emplace(encode_gaps(columns.view()), 1, 4, 2, "t");
  t.validate("t");
  EXPECT_EQ(t.stored_bytes(), 1 + 6 + 2);
  std::array<float, 4> out{};
  t.decode_rows(0, 1, out.data());
  EXPECT_EQ(out, (std::array{-1.5f, -4.0f, -0.5f, -4.5f}));
}

TEST(SplitTensor, DecodesAsThePlainFormulaSays) {
  std::uint64_t seed = 0;
  for (int bits = 2; bits <= 8; ++bits)
    for (const auto& [n, outliers] : {std::pair{1, 0}, {1, 1}, {33, 2}, {100, 7}}) {
      const auto t = random_split(5, n, bits, outliers, ++seed);
      t.validate("t");
      std::vector<float> out(static_cast<std::size_t>(2 * n));
      std::vector<std::uint8_t> z(static_cast<std::size_t>(n));
      std::vector<std::int32_t> columns(static_cast<std::size_t>(outliers));
      t.decode_rows(2, 2, out.data());
      for (std::int64_t r = 2; r < 4; ++r) {
        unpack_row(t.codes.data() + r * packed_row_bytes(n, bits), bits, z);
        t.gaps->columns_of_row(r, columns.data());
        for (std::int32_t j = 0; j < n; ++j) {
          const int code = z[j], half = 1 << (bits - 1);
          const bool outlier = std::find(columns.begin(), columns.end(), j) != columns.end();
          float expected = f16_to_f32(t.scales[r].step) * (static_cast<float>(2 * code - (1 << bits) + 1) / 2);
          if (outlier) {
            expected =
                f16_to_f32(t.scales[r].low) + f16_to_f32(t.scales[r].outer_step) * static_cast<float>(code % half);
            if (code >= half) expected = -expected;
          }
          ASSERT_EQ(out[(r - 2) * n + j], expected);
        }
      }
    }
}

TEST(SplitTensor, ValidationNamesWhatIsWrong) {
  const auto good = random_split(3, 40, 4, 2, 4);
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
  bad({"-1 outliers"}, [](auto& t) { t.outliers = -1; });
  bad({"41 outliers"}, [](auto& t) { t.outliers = 41; });
  bad({"codes has 59", "60"}, [](auto& t) { t.codes.pop_back(); });
  bad({"scales has 2", "3"}, [](auto& t) { t.scales.pop_back(); });
  bad({"no gaps"}, [](auto& t) { t.gaps.reset(); });
  bad({"gaps of 2 outliers", "3"}, [](auto& t) { t.outliers = 3; });
  for (const std::uint16_t scale : {0x8000, 0xbc00, 0x7c00, 0x7e00, 0xffff}) {
    bad({"scale of row 1"}, [&](auto& t) { t.scales[1].step = scale; });
    bad({"scale of row 2"}, [&](auto& t) { t.scales[2].low = scale; });
    bad({"scale of row 0"}, [&](auto& t) { t.scales[0].outer_step = scale; });
  }
}

}  // namespace
}  // namespace nearplane
