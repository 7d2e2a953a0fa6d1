#include "exporter/gguf_blocks.h"

#include <gtest/gtest.h>

#include <cstring>

#include "expect_error.h"
#include "random_quantized.h"
#include "tensor/decode.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

void same_weights(const IntegerTensor& layer, DType expected) {
  const auto type = gguf_block_type(layer, "p");
  ASSERT_EQ(dtype_info(type).name, dtype_info(expected).name);
  std::vector<std::byte> blocks(static_cast<std::size_t>(dtype_bytes(type, layer.cols)));
  std::vector<float> ours(static_cast<std::size_t>(layer.cols)), theirs(ours.size());
  for (std::int64_t r = 0; r < layer.rows; ++r) {
    write_gguf_row(layer, r, type, blocks.data());
    layer.decode_rows(r, 1, ours.data());
    decode_f32(type, blocks.data(), layer.cols, theirs.data());
    ASSERT_EQ(std::memcmp(ours.data(), theirs.data(), 4 * ours.size()), 0) << "row " << r;
  }
}

// Scales that leave room for a product with 4 bits.
IntegerTensor short_scales(IntegerTensor layer) {
  for (auto& scale : layer.scales) scale = static_cast<std::uint16_t>((scale & 0x3fc0u) | 0x0400u);
  return layer;
}

TEST(GgufBlocks, HoldTheSameWeights) {
  for (const std::int64_t group : {32, 96}) {
    for (const int bits : {2, 3, 4}) same_weights(random_quantized(5, 96, bits, group, true, 1), DType::q4_0);
    for (const int bits : {2, 3}) same_weights(random_quantized(5, 96, bits, group, false, 2), DType::q4_0);
    same_weights(short_scales(random_quantized(5, 96, 4, group, false, 3)), DType::q4_1);
    for (const int bits : {5, 6, 7, 8}) same_weights(random_quantized(5, 96, bits, group, true, 4), DType::q8_0);
  }
}

TEST(GgufBlocks, HaveTheKnownBytes) {
  Matrix<std::uint8_t> codes(1, 32), zeros(1, 1);
  Matrix<std::uint16_t> scales(1, 1);
  scales(0, 0) = f32_to_f16(0.5f);
  for (std::int64_t j = 0; j < 32; ++j) codes(0, j) = static_cast<std::uint8_t>(j % 16);
  const auto layer = pack_quantized(codes.view(), scales.view(), zeros.view(), 4, 32, true);
  std::byte blocks[18];
  write_gguf_row(layer, 0, DType::q4_0, blocks);
  EXPECT_EQ(blocks[0], std::byte{0x00});
  EXPECT_EQ(blocks[1], std::byte{0x38});
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(blocks[2 + i], static_cast<std::byte>(i * 17));
}

TEST(GgufBlocks, RefuseWhatTheyWouldRound) {
  expect_error(ErrorCode::unsupported, {"p", "groups of 16"},
               [] { gguf_block_type(random_quantized(2, 32, 4, 16, true, 1), "p"); });
  auto layer = random_quantized(2, 64, 4, 32, false, 1);
  for (auto& scale : layer.scales) scale = 0x3c01;  // 1 + 2^-10
  layer.zeros = {std::byte{0x11}, std::byte{0x31}};
  expect_error(ErrorCode::unsupported, {"row 1, group 1", "x 3", "--symmetric"}, [&] { gguf_block_type(layer, "p"); });
  auto wide = random_quantized(2, 64, 8, 32, false, 1);
  std::fill(wide.zeros.begin(), wide.zeros.end(), std::byte{1});
  wide.codes[5] = std::byte{255};
  expect_error(ErrorCode::unsupported, {"254", "-128 to 127"}, [&] { gguf_block_type(wide, "p"); });
}

}  // namespace
}  // namespace nearplane
