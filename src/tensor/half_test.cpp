#include "tensor/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nearplane {
namespace {

// The definition of a binary floating-point number, in double arithmetic.
double value_of(std::uint16_t h, int mantissa_bits, int bias) {
  const int exponent = (h & 0x7fff) >> mantissa_bits, mantissa = h & ((1 << mantissa_bits) - 1);
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                                         : std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
  return h & 0x8000 ? -magnitude : magnitude;
}

TEST(Half, DecodesEveryF16) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto h = static_cast<std::uint16_t>(i);
    const float f = f16_to_f32(h);
    if ((h & 0x7c00) != 0x7c00) {
      ASSERT_EQ(f, value_of(h, 10, 15)) << i;
    } else if (h & 0x3ff) {
      ASSERT_TRUE(std::isnan(f)) << i;
    } else {
      ASSERT_TRUE(std::isinf(f)) << i;
    }
    ASSERT_EQ(std::signbit(f), h >> 15) << i;
  }
}

TEST(Half, DecodesEveryBf16) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto h = static_cast<std::uint16_t>(i);
    const float f = bf16_to_f32(h);
    if ((h & 0x7f80) != 0x7f80) {
      ASSERT_EQ(f, value_of(h, 7, 127)) << i;
    } else if (h & 0x7f) {
      ASSERT_TRUE(std::isnan(f)) << i;
    } else {
      ASSERT_TRUE(std::isinf(f)) << i;
    }
    ASSERT_EQ(std::signbit(f), h >> 15) << i;
  }
}

TEST(Half, EncodesWhatItDecoded) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const auto h = static_cast<std::uint16_t>(i);
    if ((h & 0x7fff) <= 0x7c00) {
      ASSERT_EQ(f32_to_f16(f16_to_f32(h)), h);
    }
    if ((h & 0x7fff) <= 0x7f80) {
      ASSERT_EQ(f32_to_bf16(bf16_to_f32(h)), h);
    }
  }
}

// Between two neighbours: below the middle goes down, above it up, the middle itself to the even one.
template <class Decode, class Encode>
void expect_nearest_even(std::uint32_t largest, const Decode& decode, const Encode& encode) {
  for (std::uint32_t i = 0; i < largest; ++i) {
    const auto low = static_cast<std::uint16_t>(i), high = static_cast<std::uint16_t>(i + 1);
    const auto middle = static_cast<float>((double{decode(low)} + double{decode(high)}) / 2);
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    ASSERT_EQ(encode(middle), low % 2 == 0 ? low : high) << i;
    ASSERT_EQ(encode(-middle), (low % 2 == 0 ? low : high) | 0x8000) << i;
    ASSERT_EQ(encode(std::nextafter(middle, 0.0f)), low) << i;
    ASSERT_EQ(encode(std::nextafter(middle, kInfinity)), high) << i;
  }
}

TEST(Half, RoundsToNearestEven) {
  expect_nearest_even(0x7bff, f16_to_f32, f32_to_f16);
  // The middle of the two smallest bf16 subnormals is exact in f32 too: 16 more bits.
  expect_nearest_even(0x7f7f, bf16_to_f32, f32_to_bf16);
}

TEST(Half, HandlesTheEnds) {
  EXPECT_EQ(f32_to_f16(65504.0f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65519.99f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xfc00);
  EXPECT_EQ(f32_to_f16(0x1p-24f), 0x0001);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0x0000);
  EXPECT_EQ(f32_to_f16(-0.0f), 0x8000);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  const float nan = std::bit_cast<float>(0x7f800001u);  // its payload lies in the bits that are cut
  EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(nan))));
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(nan))));
}

}  // namespace
}  // namespace nearplane
