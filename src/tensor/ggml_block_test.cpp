#include "tensor/ggml_block.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/rng.h"
#include "tensor/decode.h"

namespace nearplane {
namespace {

constexpr DType kTypes[] = {DType::q2_k, DType::q3_k, DType::q4_k,   DType::q5_k,
                            DType::q6_k, DType::q4_0, DType::iq4_nl, DType::iq4_xs};

std::vector<char> golden(DType type) {
  std::ifstream file(
      std::string(NEARPLANE_SOURCE_DIR) + "/tests/golden/blocks/" + std::string(dtype_info(type).name) + ".bin",
      std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// tests/oracle/make_block_goldens.py
TEST(GgmlBlock, DecodesAsGgmlDoesBitForBit) {
  for (const auto type : kTypes) {
    if (type == DType::q4_0) continue;  // decode_test.cpp
    SCOPED_TRACE(dtype_info(type).name);
    const auto file = golden(type);
    const auto bytes = static_cast<std::size_t>(dtype_bytes(type, 1024));
    ASSERT_EQ(file.size(), bytes + 4096);
    std::vector<float> out(1024);
    decode_f32(type, reinterpret_cast<const std::byte*>(file.data()), 1024, out.data());
    for (std::size_t i = 0; i < out.size(); ++i) {
      std::uint32_t expected;
      std::memcpy(&expected, file.data() + bytes + 4 * i, 4);
      ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]), expected) << i;
    }
  }
}

TEST(GgmlBlock, PackingGivesBackTheBytes) {
  Rng rng(3);
  for (const auto type : kTypes) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(dtype_info(type).block_bytes)), again(bytes.size());
    for (int repeat = 0; repeat < 50; ++repeat) {
      for (auto& b : bytes) b = static_cast<std::byte>(rng.bits());
      pack_block(type, unpack_block(type, bytes.data()), again.data());
      ASSERT_EQ(again, bytes) << dtype_info(type).name;
    }
  }
}

TEST(GgmlBlock, UnpackedPartsAreInTheRangesOfTheLayout) {
  Rng rng(4);
  for (const auto type : kTypes) {
    const auto& layout = *block_layout(type);
    EXPECT_EQ(layout.block, dtype_info(type).block);
    EXPECT_EQ(layout.levels.size(), std::size_t{1} << layout.code_bits);
    std::vector<std::byte> bytes(static_cast<std::size_t>(dtype_info(type).block_bytes));
    for (int repeat = 0; repeat < 50; ++repeat) {
      for (auto& b : bytes) b = static_cast<std::byte>(rng.bits());
      const auto parts = unpack_block(type, bytes.data());
      for (std::size_t s = 0; s < static_cast<std::size_t>(layout.subs()); ++s) {
        ASSERT_TRUE(parts.scales[s] >= layout.least_scale && parts.scales[s] <= layout.largest_scale);
        ASSERT_TRUE(parts.minimums[s] >= 0 && parts.minimums[s] <= layout.largest_minimum);
      }
      for (const auto code : parts.codes) ASSERT_LT(code, layout.levels.size());
    }
  }
}

TEST(GgmlBlock, OtherTypesHaveNoLayout) {
  for (const auto type : {DType::f32, DType::u8, DType::q4_1, DType::q8_0}) EXPECT_EQ(block_layout(type), nullptr);
}

}  // namespace
}  // namespace nearplane
