#include "qtensor/integer_tensor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "every_target.h"
#include "expect_error.h"
#include "random_quantized.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

TEST(IntegerTensor, DecodesAKnownRow) {
  Matrix<std::uint8_t> codes(1, 5), zeros(1, 2);
  Matrix<std::uint16_t> scales(1, 2);
  std::ranges::copy(std::array{0, 3, 7, 5, 1}, codes.data());
  zeros(0, 0) = 3, zeros(0, 1) = 1;
  scales(0, 0) = 0x3800, scales(0, 1) = 0x4000;  // 0.5 and 2
  const auto t = pack_quantized(codes.view(), scales.view(), zeros.view(), 3, 3, false);
  t.validate("t");
  EXPECT_EQ(t.groups(), 2);
  EXPECT_EQ(t.codes, (std::vector{std::byte{0b11011000}, std::byte{0b00011011}}));  // 1|5|7|3|0, three bits each
  EXPECT_EQ(t.zeros, (std::vector{std::byte{0b001011}}));
  std::array<float, 5> out{};
  t.decode_rows(0, 1, out.data());
  EXPECT_EQ(out, (std::array{-1.5f, 0.0f, 2.0f, 8.0f, 0.0f}));
  EXPECT_EQ(t.stored_bytes(), 2 + 4 + 1);
}

TEST(IntegerTensor, CountsEveryBit) {
  const auto t = random_quantized(4, 128, 3, 64, false, 1);
  EXPECT_EQ(t.stored_bytes(), 4 * (48 + 2 * 2 + 1));
  EXPECT_EQ(random_quantized(4, 128, 4, 128, true, 1).stored_bytes(), 4 * (64 + 2));
}

TEST(IntegerTensor, DecodesAsThePlainFormulaSays) {
  for_every_target([] {
    std::uint64_t seed = 0;
    for (int bits = 2; bits <= 8; ++bits)
      for (const std::int64_t cols : {1, 31, 64, 100})
        for (const std::int64_t group : {1, 7, 32, 64, 100})
          for (const bool symmetric : {false, true}) {
            if (group > cols) continue;
            const auto t = random_quantized(3, cols, bits, group, symmetric, ++seed);
            t.validate("t");
            std::vector<std::uint8_t> codes(static_cast<std::size_t>(cols)),
                zeros(static_cast<std::size_t>(t.groups()));
            std::vector<float> out(static_cast<std::size_t>(2 * cols + 1), 5.0f);
            t.decode_rows(1, 2, out.data());
            EXPECT_EQ(out.back(), 5.0f);
            for (std::int64_t r = 1; r < 3; ++r) {
              t.codes_of_row(r, codes.data());
              t.zeros_of_row(r, zeros.data());
              for (std::int64_t c = 0; c < cols; ++c) {
                const auto g = static_cast<std::size_t>(c / group);
                const float scale = f16_to_f32(t.scales[static_cast<std::size_t>(r * t.groups()) + g]);
                const int step = codes[static_cast<std::size_t>(c)] - zeros[g];
                ASSERT_EQ(out[static_cast<std::size_t>((r - 1) * cols + c)], scale * static_cast<float>(step));
                if (symmetric) {
                  ASSERT_EQ(zeros[g], 1 << (bits - 1));
                }
              }
            }
          }
  });
}

TEST(IntegerTensor, PacksWhatItUnpacks) {
  for (int bits = 2; bits <= 8; ++bits) {
    const auto t = random_quantized(5, 77, bits, 10, false, 3);
    Matrix<std::uint8_t> codes(5, 77), zeros(5, 8);
    Matrix<std::uint16_t> scales(5, 8);
    std::ranges::copy(t.scales, scales.data());
    for (std::int64_t r = 0; r < 5; ++r) t.codes_of_row(r, codes.row(r)), t.zeros_of_row(r, zeros.row(r));
    const auto again = pack_quantized(codes.view(), scales.view(), zeros.view(), bits, 10, false);
    EXPECT_EQ(again.codes, t.codes);
    EXPECT_EQ(again.zeros, t.zeros);
  }
}

TEST(IntegerTensor, ValidationNamesWhatIsWrong) {
  const auto good = random_quantized(3, 40, 4, 16, false, 4);
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
  bad({"codes has 59", "60"}, [](auto& t) { t.codes.pop_back(); });
  bad({"scales has 10", "9"}, [](auto& t) { t.scales.push_back(1); });
  bad({"zeros has 0", "6"}, [](auto& t) { t.zeros.clear(); });
  bad({"zeros has 6", "0"}, [](auto& t) { t.symmetric = true; });
  for (const std::uint16_t scale : {0x0000, 0x8000, 0xbc00, 0x7c00, 0x7e00, 0xffff})
    bad({"scale 1 of row 2", "not finite and positive"}, [&](auto& t) { t.scales[7] = scale; });
}

}  // namespace
}  // namespace nearplane
