// Products of dense codes with 2 to 32 tokens on tensor cores: m16n8k32 with the codes as its 16 rows and 8 tokens as
// its columns, one product for each plane of the inputs. Lane 4 g + q has the codes of rows g, g + 8, g + 16, g + 24 in
// a quarter of a tile; which columns stand at which place of a product is free, as long as codes and inputs agree.
#pragma once

#include "kernel/cuda/dense.h"

namespace nearplane::cuda {

inline constexpr int kProductTokens = 8;

/// What a lane takes of a tile: of row g + 8 i, word[i].
template <int kBits>
struct TileQuarter {
  static constexpr int kWords = kBits == 8 ? 4 : kBits == 2 ? 1 : 2;
  std::uint32_t word[4][kWords];

  NEARPLANE_HOST_DEVICE static TileQuarter load(const Line* tile, int lane) {
    const auto* words = reinterpret_cast<const std::uint32_t*>(tile);
    const int q = lane % 4;
    TileQuarter out;
    NEARPLANE_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + 8 * i;
      NEARPLANE_UNROLL
      for (int line = 0; line < kBits / 2; ++line) out.word[i][line] = read_once(words + (line * kLanes + row) * 4 + q);
      if constexpr (kBits == 3) out.word[i][1] = read_once(words + kLanes * 4 + row * 2 + q / 2) >> q % 2;
    }
    return out;
  }
  /// Four codes of row g + 8 i: the first or second (half) that a lane brings to step 0 or 1 of a tile.
  NEARPLANE_HOST_DEVICE std::uint32_t quad(int i, int step, int half) const {
    const int field = 2 * step + half;
    if constexpr (kBits == 8) return word[i][field];
    if constexpr (kBits == 4) return word[i][step] >> 4 * half & 0x0f0f0f0fu;
    const auto low = word[i][0] >> 2 * field & 0x03030303u;
    if constexpr (kBits == 2) return low;
    const auto third = word[i][kWords - 1];
    return low | ((field == 3 ? third << 2 : third >> 2 * field) & 0x04040404u);
  }
  /// Its columns as a word of inputs, of the 16 of a tile.
  NEARPLANE_HOST_DEVICE static int input_word(int lane, int step, int half) {
    const int q = lane % 4;
    if constexpr (kBits == 8) return 8 * step + 4 * half + q;
    if constexpr (kBits == 4) return 8 * step + 2 * q + half;
    return 4 * q + 2 * step + half;
  }
};

/// The registers of a lane: fragments of a tile, sums of a piece, sums of a row.
template <int kBlocks>
struct TokenSums {
  WeightFragment weights[2][2];                           // [rows 0-15, 16-31][step]
  InputFragment high[kBlocks][2], low[kBlocks][2];        // [8 tokens][step]
  SumFragment high_sum[2][kBlocks], low_sum[2][kBlocks];  // [rows][8 tokens]
  float sum[2][kBlocks][4];

  NEARPLANE_HOST_DEVICE void clear_piece() {
    NEARPLANE_UNROLL
    for (int r = 0; r < 2; ++r) {
      NEARPLANE_UNROLL
      for (int b = 0; b < kBlocks; ++b) high_sum[r][b] = low_sum[r][b] = {};
    }
  }
  template <int kBits>
  NEARPLANE_HOST_DEVICE void load(const DenseMatrix& w, const Inputs& in, int row_block, int tile, int lane) {
    const auto codes = TileQuarter<kBits>::load(w.tile(row_block, tile), lane);
    NEARPLANE_UNROLL
    for (int step = 0; step < 2; ++step) {
      NEARPLANE_UNROLL
      for (int i = 0; i < 8; ++i) weights[i / 4][step].word[i % 4] = codes.quad(i / 4 * 2 + i % 2, step, i % 4 / 2);
      NEARPLANE_UNROLL
      for (int b = 0; b < kBlocks; ++b) {
        NEARPLANE_UNROLL
        for (int half = 0; half < 2; ++half) {
          const auto at = static_cast<std::int64_t>(token(in, b, lane / 4)) * w.tiles * 16 + tile * 16 +
                          TileQuarter<kBits>::input_word(lane, step, half);
          high[b][step].word[half] = read_often(in.high + at);
          low[b][step].word[half] = read_often(in.low + at);
        }
      }
    }
  }
  /// The last one for those beyond it: their sums are not used.
  NEARPLANE_HOST_DEVICE static int token(const Inputs& in, int block, int t) {
    const int all = block * kProductTokens + t;
    return all < in.tokens ? all : in.tokens - 1;
  }
  NEARPLANE_HOST_DEVICE void finish_piece(const DenseMatrix& w, const Inputs& in, int row_block, int piece, int lane) {
    NEARPLANE_UNROLL
    for (int i = 0; i < 4; ++i) {
      const auto at = w.scale_at(row_block * kBlockRows + lane / 4 + 8 * i, piece / w.group_pieces);
      const float scale = widen_f16(w.scales[at]);
      const int zero = w.zeros[at];
      NEARPLANE_UNROLL
      for (int b = 0; b < kBlocks; ++b) {
        NEARPLANE_UNROLL
        for (int t = 0; t < 2; ++t) {
          const auto input = static_cast<std::int64_t>(token(in, b, lane % 4 * 2 + t)) * w.pieces + piece;
          const int place = i % 2 * 2 + t;
          auto& y = sum[i / 2][b][place];
          y = add_piece(y, kPlane * high_sum[i / 2][b].sum[place] + low_sum[i / 2][b].sum[place], zero, in.sums[input],
                        scale * in.scales[input]);
        }
      }
    }
  }
  NEARPLANE_HOST_DEVICE void store(const Inputs& in, int lane, float* part) const {
    NEARPLANE_UNROLL
    for (int i = 0; i < 4; ++i) {
      NEARPLANE_UNROLL
      for (int b = 0; b < kBlocks; ++b) {
        NEARPLANE_UNROLL
        for (int t = 0; t < 2; ++t) {
          const int all = b * kProductTokens + lane % 4 * 2 + t;
          if (all < in.tokens) part[all * kBlockRows + lane / 4 + 8 * i] = sum[i / 2][b][i % 2 * 2 + t];
        }
      }
    }
  }
};

template <int kBits, int kBlocks, class Warp, class State>
NEARPLANE_HOST_DEVICE void dense_tokens_tile(Warp& warp, State& state, const DenseMatrix& w, const Inputs& in,
                                             int row_block, int tile) {
  warp.each([&](int lane) { state[lane].template load<kBits>(w, in, row_block, tile, lane); });
  NEARPLANE_UNROLL
  for (int step = 0; step < 2; ++step) {
    NEARPLANE_UNROLL
    for (int r = 0; r < 2; ++r) {
      NEARPLANE_UNROLL
      for (int b = 0; b < kBlocks; ++b) {
        const auto weights = [&](int lane) -> auto& { return state[lane].weights[r][step]; };
        warp.multiply(
            weights, [&](int lane) -> auto& { return state[lane].high[b][step]; },
            [&](int lane) -> auto& { return state[lane].high_sum[r][b]; });
        warp.multiply(
            weights, [&](int lane) -> auto& { return state[lane].low[b][step]; },
            [&](int lane) -> auto& { return state[lane].low_sum[r][b]; });
      }
    }
  }
}

/// Up to 8 kBlocks tokens: a block for 32 rows, pieces dealt out to its warps. Shared: part_bytes(warps, tokens).
template <int kBits, int kBlocks, class Block>
NEARPLANE_HOST_DEVICE void dense_tokens(Block& block, const DenseMatrix& w, const Inputs& in, float* y) {
  using Warp = typename Block::Warp;
  auto* parts = reinterpret_cast<float*>(block.shared());
  block.each_warp([&](Warp& warp, int index) {
    typename Warp::template PerLane<TokenSums<kBlocks>> state;
    warp.each([&](int lane) { state[lane] = {}; });
    NEARPLANE_KEEP_LOOP
    for (int piece = index; piece < w.pieces; piece += block.warps()) {
      warp.each([&](int lane) { state[lane].clear_piece(); });
      NEARPLANE_KEEP_LOOP
      for (int t = 0; t < w.tiles_of_piece(piece); ++t)
        dense_tokens_tile<kBits, kBlocks>(warp, state, w, in, block.index(), piece * w.piece_tiles + t);
      warp.each([&](int lane) { state[lane].finish_piece(w, in, block.index(), piece, lane); });
    }
    warp.each([&](int lane) { state[lane].store(in, lane, parts + index * in.tokens * kBlockRows); });
  });
  finish_rows(block, w.extras, in, w.rows, w.cols, block.index() * kBlockRows, parts, block.warps(), y, list_step(w));
}

}  // namespace nearplane::cuda
