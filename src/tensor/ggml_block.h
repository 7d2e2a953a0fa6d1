// ggml's block types taken apart: what the bytes of a block say, and back.
// Problem: weight i of a block = (d * scale[s]) * level[code[i]] - dmin * minimum[s], s = i / sub; every product and
//   the difference rounded to f32. Scales and minimums are whole numbers of few bits, d and dmin are f16.
// Source: the layouts of ggml-org/ggml.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/dtype.h"

namespace nearplane {

struct BlockLayout {
  int block = 0, sub = 0;                  // weights that share d, that share a scale
  int least_scale = 1, largest_scale = 1;  // both 1: d is the only scale
  int largest_minimum = 0;                 // 0: there are no minimums, nor dmin
  int code_bits = 0;
  std::span<const std::int8_t> levels;  // [2^code_bits] ascending
  bool uniform = true;                  // levels are consecutive whole numbers

  int subs() const { return block / sub; }
};

inline constexpr int kMostBlockWeights = 256, kMostSubBlocks = 16;

struct BlockParts {
  std::uint16_t d = 0, dmin = 0;                      // f16
  std::array<std::int16_t, kMostSubBlocks> scales{};  // [subs]
  std::array<std::int16_t, kMostSubBlocks> minimums{};
  std::array<std::uint8_t, kMostBlockWeights> codes{};  // [block]
};

/// Layout of a type that can be taken apart: Q4_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS; nullptr for every other.
const BlockLayout* block_layout(DType type);

/// The parts of the block at `bytes`, of a type that has a layout.
BlockParts unpack_block(DType type, const std::byte* bytes);
/// Writes the block; every part is within its range.
void pack_block(DType type, const BlockParts& parts, std::byte* bytes);

/// Decodes whole blocks into out[blocks x block].
void decode_blocks(DType type, const std::byte* bytes, std::int64_t blocks, float* out);

}  // namespace nearplane
