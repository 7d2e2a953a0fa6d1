#include "tensor/decode.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "every_target.h"
#include "expect_error.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr std::uint16_t kHalf = 0x3800, kQuarter = 0x3400;  // f16 of 0.5 and 0.25

void put(std::vector<std::byte>& bytes, std::size_t at, std::uint16_t h) { std::memcpy(bytes.data() + at, &h, 2); }

// One block with bytes (37 k + 11) mod 256, d = 0.5 and, where the type has it, m = 0.25.
std::vector<std::byte> test_block(DType type) {
  std::vector<std::byte> block(static_cast<std::size_t>(dtype_info(type).block_bytes));
  for (std::size_t k = 0; k < block.size(); ++k) block[k] = static_cast<std::byte>(37 * k + 11);
  put(block, 0, kHalf);
  if (type == DType::q4_1) put(block, 2, kQuarter);
  return block;
}

std::vector<float> decoded(DType type, const std::byte* bytes, std::int64_t count) {
  std::vector<float> out(static_cast<std::size_t>(count), NAN);
  decode_f32(type, bytes, count, out.data());
  return out;
}

// Bit for bit; any NaN equals any other.
void expect_same(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(a[i]), std::bit_cast<std::uint32_t>(b[i])) << i;
  }
}

// The values ggml's own decoder gives for the test blocks.
struct Known {
  DType type;
  std::map<std::size_t, float> values;
  float sum;
};
const Known kKnown[] = {
    {DType::q4_0, {{0, -1.5f}, {1, 1.0f}, {15, -4.0f}, {16, -1.5f}, {17, -0.5f}, {31, 0.0f}}, -10.5f},
    {DType::q4_1, {{0, 7.75f}, {1, 2.25f}, {15, 5.25f}, {16, 4.75f}, {17, 6.25f}, {31, 6.25f}}, 130.5f},
    {DType::q8_0, {{0, 42.5f}, {1, 61.0f}, {15, -64.0f}, {16, -45.5f}, {17, -27.0f}, {31, -24.0f}}, -88.0f},
};

TEST(Decode, GivesTheKnownValuesOfBlocks) {
  for_every_target([] {
    for (const auto& known : kKnown) {
      const auto block = test_block(known.type);
      const auto out = decoded(known.type, block.data(), 32);
      for (const auto& [i, value] : known.values) EXPECT_EQ(out[i], value) << dtype_info(known.type).name << " " << i;
      EXPECT_EQ(std::accumulate(out.begin(), out.end(), 0.0f), known.sum) << dtype_info(known.type).name;
    }
  });
}

TEST(Decode, GivesEveryHalf) {
  std::vector<std::uint16_t> halves(65536);
  std::iota(halves.begin(), halves.end(), std::uint16_t{0});
  const auto* bytes = reinterpret_cast<const std::byte*>(halves.data());
  std::vector<float> f16, bf16;
  for (const auto h : halves) f16.push_back(f16_to_f32(h)), bf16.push_back(bf16_to_f32(h));
  for_every_target([&] {
    expect_same(decoded(DType::f16, bytes, 65536), f16);
    expect_same(decoded(DType::bf16, bytes, 65536), bf16);
  });
}

// The formulas, element by element, with one f32 rounding per operation.
float plain(DType type, const std::byte* bytes, std::int64_t i) {
  const auto& info = dtype_info(type);
  const auto* block = bytes + i / info.block * info.block_bytes;
  const auto k = i % 32;
  const auto half = [&](int at) {
    std::uint16_t h;
    std::memcpy(&h, block + at, 2);
    return f16_to_f32(h);
  };
  const auto nibble = [&](int at) {
    const int byte = std::to_integer<int>(block[at + k % 16]);
    return static_cast<float>(k < 16 ? byte & 15 : byte >> 4);
  };
  float f;
  double d;
  switch (type) {
    case DType::q4_0:
      return half(0) * (nibble(2) - 8.0f);
    case DType::q4_1: {
      const float product = half(0) * nibble(4);
      return product + half(2);
    }
    case DType::q8_0:
      return half(0) * static_cast<float>(static_cast<std::int8_t>(block[2 + k]));
    case DType::f32:
      std::memcpy(&f, block, 4);
      return f;
    case DType::f64:
      std::memcpy(&d, block, 8);
      return static_cast<float>(d);
    case DType::f16:
      return half(0);
    default:
      return std::bit_cast<float>(std::to_integer<std::uint32_t>(block[0]) << 16 |
                                  std::to_integer<std::uint32_t>(block[1]) << 24);
  }
}

TEST(Decode, EqualsThePlainLoopOnRandomUnalignedBytes) {
  Rng rng(1);
  std::vector<std::byte> bytes(8 * 32 * 40 + 1);
  for (auto& b : bytes) b = static_cast<std::byte>(rng.bits());
  for_every_target([&] {
    for (const auto type : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::q4_0, DType::q4_1, DType::q8_0})
      for (const std::int64_t blocks : {0, 1, 3, 7, 8, 9, 33}) {
        const auto count = blocks * dtype_info(type).block;
        std::vector<float> expected;
        for (std::int64_t i = 0; i < count; ++i) expected.push_back(plain(type, bytes.data() + 1, i));
        expect_same(decoded(type, bytes.data() + 1, count), expected);
      }
  });
}

TEST(Decode, WritesNothingBeyondCount) {
  const std::vector<std::byte> bytes(64 * 34);
  for_every_target([&] {
    for (const auto type : {DType::f16, DType::bf16, DType::f32, DType::q4_0, DType::q8_0}) {
      const std::int64_t count = dtype_info(type).block == 1 ? 13 : 32;
      std::vector<float> out(static_cast<std::size_t>(count) + 1, 7.0f);
      decode_f32(type, bytes.data(), count, out.data());
      EXPECT_EQ(out.back(), 7.0f);
      EXPECT_EQ(out[static_cast<std::size_t>(count) - 1], 0.0f);
    }
  });
}

TEST(Decode, RefusesTypesThatAreNoNumbersAWeightCanBe) {
  const std::vector<std::byte> bytes(8);
  float out;
  expect_error(ErrorCode::bad_input, {"I32"}, [&] { decode_f32(DType::i32, bytes.data(), 1, &out); });
}

}  // namespace
}  // namespace nearplane
