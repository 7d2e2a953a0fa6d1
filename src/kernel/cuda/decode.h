// Matrices to bf16 in memory of the device, for products with more tokens than packed kernels take: the product is then
// any library's, and add_extras() brings list and kept columns.
#pragma once

#include "kernel/cuda/dense.h"
#include "kernel/cuda/tuple.h"

namespace nearplane::cuda {

/// Rows of a decoded matrix are so many columns apart; columns beyond those of the matrix are rubbish.
inline std::int64_t decoded_stride(const DenseMatrix& w) { return std::int64_t{w.tiles} * kTileColumns; }
inline std::int64_t decoded_stride(const TupleMatrix& w) { return std::int64_t{w.chunks} * kChunkQuarters * w.columns; }

/// out [rows][stride] = bf16 of s (code - zero), rounded to f32 first. A warp for each tile of 32 rows.
template <int kBits, class Block>
NEARPLANE_HOST_DEVICE void decode_dense(Block& block, const DenseMatrix& w, std::uint16_t* out) {
  using Warp = typename Block::Warp;
  block.each_warp([&](Warp& warp, int index) {
    const auto item = static_cast<std::int64_t>(block.index()) * block.warps() + index;
    const int row_block = static_cast<int>(item / w.tiles), tile = static_cast<int>(item % w.tiles);
    if (row_block >= w.row_blocks()) return;
    warp.each([&](int lane) {
      const int row = row_block * kBlockRows + lane;
      if (row >= w.rows) return;
      const auto at = w.scale_at(row, tile / (w.piece_tiles * w.group_pieces));
      const float scale = widen_f16(w.scales[at]);
      const int zero = w.zeros[at];
      auto* to = reinterpret_cast<HalfLine*>(out + (static_cast<std::int64_t>(row) * w.tiles + tile) * kTileColumns);
      for_each_quad(load_tile<kBits>(w.tile(row_block, tile), lane), [&](int word, int field, std::uint32_t bytes) {
        const auto four = bytes >> field * (kBits == 3 ? 2 : kBits);
        std::uint32_t weight[4];
        for (int i = 0; i < 4; ++i)
          weight[i] = narrow_bf16(scale * static_cast<float>(static_cast<int>(four >> 8 * i & 255) - zero));
        to[word] = {{weight[0] | weight[1] << 16, weight[2] | weight[3] << 16}};
      });
    });
  });
}

/// out [rows][stride] = bf16 of the step of the row times its points; steps of columns are in x. Shared:
/// shared_bytes(warps).
template <int kK, bool kStates, class Block>
NEARPLANE_HOST_DEVICE void decode_tuple(Block& block, const TupleMatrix& w, std::uint16_t* out) {
  using Warp = typename Block::Warp;
  auto* table = reinterpret_cast<std::uint32_t*>(block.shared());
  auto* staging = reinterpret_cast<Line*>(table + w.table_words());
  spread_table(block, w, table);
  block.each_warp([&](Warp& warp, int index) {
    const auto chunks = static_cast<std::int64_t>(w.row_groups()) * w.chunks;
    NEARPLANE_KEEP_LOOP
    for (auto item = static_cast<std::int64_t>(block.index()) * block.warps() + index; item < chunks;
         item += block.count() * block.warps())
      open_chunk(warp, w, item, table, staging + index * w.chunk_lines, [&](int lane, const Substream& codes) {
        const auto row = item / w.chunks * kChunkRows + lane / kChunkQuarters;
        if (row >= w.rows) return;
        const float step = w.extras.row_steps != nullptr ? w.extras.row_steps[row] : 1.0f;
        auto* to = out + ((row * w.chunks + item % w.chunks) * kChunkQuarters + lane % kChunkQuarters) * w.columns;
        decode_substream<kK, kStates>(w, w.groups, codes, [&](int, const std::uint32_t* entries) {
          for (int i = 0; i < kGroupTuples; ++i)
            for (int j = 4 - kK; j < 4; ++j)
              *to++ =
                  narrow_bf16(step * static_cast<float>(static_cast<int>(entries[i] >> 8 * j & 255) - w.zero_point));
        });
      });
  });
}

}  // namespace nearplane::cuda
