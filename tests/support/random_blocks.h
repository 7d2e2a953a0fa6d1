// A valid layer in a block type, with random bytes but finite scales.
#pragma once

#include "base/rng.h"
#include "qtensor/block_tensor.h"
#include "tensor/ggml_block.h"

namespace nearplane {

[[gnu::noinline]] inline BlockTensor random_blocks(std::int64_t rows, std::int64_t cols, DType type,
                                                   std::uint64_t seed) {
  Rng rng(seed);
  BlockTensor t;
  t.rows = rows, t.cols = cols, t.type = type;
  t.blocks.resize(static_cast<std::size_t>(rows * t.row_bytes()));
  for (auto& b : t.blocks) b = static_cast<std::byte>(rng.bits());
  for (std::size_t at = 0; at < t.blocks.size(); at += static_cast<std::size_t>(dtype_info(type).block_bytes)) {
    auto parts = unpack_block(type, t.blocks.data() + at);
    parts.d = static_cast<std::uint16_t>(rng.below(0x7c00)), parts.dmin = static_cast<std::uint16_t>(rng.below(0x7c00));
    pack_block(type, parts, t.blocks.data() + at);
  }
  return t;
}

}  // namespace nearplane
