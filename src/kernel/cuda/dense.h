// Products with integer codes of 2, 3, 4 or 8 bits in groups of columns that share a scale and a zero point, a list and
// kept columns beside them. One token: byte dot products on masked words, nothing unpacked; 2 to 32 tokens: the same
// bytes become fragments of the byte tensor core product.
// Problem: y[t, r] = sum over j of s[r, g(j)] (code[r, j] - zero[r, g(j)]) x[t, j], and what rows.h adds.
// Layout: docs/kernels-gpu.md. Sums over a piece of 64 or 128 columns are exact; f32 from there on.
#pragma once

#include "kernel/cuda/rows.h"

namespace nearplane::cuda {

inline constexpr int kTileColumns = 64;

struct DenseMatrix {
  int rows, cols, bits;
  int tiles;                    // of 64 columns, in a row
  int piece_tiles, pieces;      // tiles of a piece; in a row
  int group_pieces, groups;     // pieces that share a scale; in a row
  const Line* codes;            // [row blocks][tiles][16 bits], see load_tile()
  const std::uint16_t* scales;  // [row blocks][groups][32] f16
  const std::uint8_t* zeros;    // [row blocks][groups][32]
  RowExtras extras;

  NEARPLANE_HOST_DEVICE int row_blocks() const { return (rows + kBlockRows - 1) / kBlockRows; }
  NEARPLANE_HOST_DEVICE const Line* tile(int row_block, int t) const {
    return codes + (static_cast<std::int64_t>(row_block) * tiles + t) * (16 * bits);
  }
  NEARPLANE_HOST_DEVICE std::int64_t scale_at(int row, int group) const {
    return (static_cast<std::int64_t>(row / kBlockRows) * groups + group) * kBlockRows + row % kBlockRows;
  }
  NEARPLANE_HOST_DEVICE int tiles_of_piece(int piece) const {
    const int left = tiles - piece * piece_tiles;
    return left < piece_tiles ? left : piece_tiles;
  }
  PieceShape piece_shape() const {
    return {cols, piece_tiles * kTileColumns, pieces, piece_tiles * kTileColumns / 4, 4};
  }
};

/// The codes of one row and tile as words: 8 bits: word j has columns 4j...; 4 bits: bytes of word j have columns 8j...
/// in their low halves, 8j + 4... in the high ones; 2 bits: field f of the bytes of word j has columns 16j + 4f...;
/// 3 bits: the low two as with 2 bits, then two words with the third (see third_bit()).
template <int kBits>
struct TileCodes {
  static constexpr int kWords = 2 * kBits;
  std::uint32_t word[kWords];
};

/// `tile` as DenseMatrix::tile() gives it: 16 bytes of each lane a line; for 3 bits a last half line.
template <int kBits>
NEARPLANE_HOST_DEVICE TileCodes<kBits> load_tile(const Line* tile, int lane) {
  TileCodes<kBits> out;
  for (int i = 0; i < kBits / 2; ++i) {
    const auto line = read_once(tile + i * kLanes + lane);
    for (int j = 0; j < 4; ++j) out.word[4 * i + j] = line.word[j];
  }
  if constexpr (kBits == 3) {
    const auto half = read_once(reinterpret_cast<const HalfLine*>(tile + kLanes) + lane);
    for (int j = 0; j < 2; ++j) out.word[4 + j] = half.word[j];
  }
  return out;
}

/// The third bits of 32 codes, columns 16 (j % 2) + 4f + byte: bits of bytes in the order that puts each above the two
/// low bits of its code, j even first: field 0: 2, 3; 1: 4, 5; 2: 6, 7; 3: 0, 1.
NEARPLANE_HOST_DEVICE constexpr int third_bit(int odd, int field) { return (field == 3 ? 0 : 2 * field + 2) + odd; }

/// Sums of codes times one plane of inputs over a piece. A field of a byte that is not the lowest counts 4^f-fold and
/// has a sum of its own.
template <int kBits>
struct PlaneSums {
  static constexpr int kFields = kBits == 8 ? 1 : kBits == 4 ? 2 : kBits == 3 ? 3 : 4;
  std::int32_t sum[kFields];

  NEARPLANE_HOST_DEVICE std::int32_t total() const {
    std::int32_t all = sum[0];
    for (int f = 1; f < kFields; ++f) all += sum[f] >> f * (kBits == 3 ? 2 : kBits);  // exact: they are multiples
    return all;
  }
};

/// Calls use(word of inputs, field, bytes) for the 16 words of four codes of a tile.
template <int kBits, class Use>
NEARPLANE_HOST_DEVICE void for_each_quad(const TileCodes<kBits>& codes, const Use& use) {
  if constexpr (kBits == 8) {
    for (int j = 0; j < 16; ++j) use(j, 0, codes.word[j]);
  } else if constexpr (kBits == 4) {
    for (int j = 0; j < 8; ++j) {
      use(2 * j, 0, codes.word[j] & 0x0f0f0f0fu);
      use(2 * j + 1, 1, codes.word[j] & 0xf0f0f0f0u);
    }
  } else if constexpr (kBits == 2) {
    for (int j = 0; j < 4; ++j)
      for (int f = 0; f < 4; ++f) use(4 * j + f, f, codes.word[j] & 0x03030303u << 2 * f);
  } else {
    for (int j = 0; j < 4; ++j) {
      const auto low = codes.word[j], third = codes.word[4 + j / 2] >> j % 2;
      for (int f = 0; f < 3; ++f) use(4 * j + f, f, (low & 0x03030303u << 2 * f) | (third & 0x04040404u << 2 * f));
      use(4 * j + 3, 2, (low >> 2 & 0x30303030u) | (third << 6 & 0x40404040u));
    }
  }
}

/// What a piece adds to y: its exact sum, less the zero point, times both scales.
NEARPLANE_HOST_DEVICE inline float add_piece(float y, std::int32_t product, int zero, std::int32_t inputs, float step) {
  return multiply_add(static_cast<float>(product - zero * inputs), step, y);
}

NEARPLANE_HOST_DEVICE inline auto list_step(const DenseMatrix& w) {
  return [&w](int row, int column) {
    return widen_f16(w.scales[w.scale_at(row, column / (w.group_pieces * w.piece_tiles * kTileColumns))]);
  };
}

/// Codes of a piece times inputs of one token, in the row of a lane: tile by tile, exact.
template <int kBits>
struct PieceSum {
  PlaneSums<kBits> high{}, low{};

  NEARPLANE_HOST_DEVICE void add_tile(const DenseMatrix& w, const Inputs& in, int row_block, int tile, int lane) {
    const auto codes = load_tile<kBits>(w.tile(row_block, tile), lane);
    Line xh[4], xl[4];
    NEARPLANE_UNROLL
    for (int i = 0; i < 4; ++i) {
      xh[i] = read_often(reinterpret_cast<const Line*>(in.high) + tile * 4 + i);
      xl[i] = read_often(reinterpret_cast<const Line*>(in.low) + tile * 4 + i);
    }
    for_each_quad(codes, [&](int word, int field, std::uint32_t bytes) {
      high.sum[field] = dot4(bytes, xh[word / 4].word[word % 4], high.sum[field]);
      low.sum[field] = dot4(bytes, xl[word / 4].word[word % 4], low.sum[field]);
    });
  }
  NEARPLANE_HOST_DEVICE void add_piece(const DenseMatrix& w, const Inputs& in, int row_block, int piece, int lane) {
    NEARPLANE_KEEP_LOOP
    for (int t = 0; t < w.tiles_of_piece(piece); ++t) add_tile(w, in, row_block, piece * w.piece_tiles + t, lane);
  }
  NEARPLANE_HOST_DEVICE std::int32_t total() const { return kPlane * high.total() + low.total(); }
};

/// One token: a block for 32 rows, pieces dealt out to its warps, a lane for a row. Shared: part_bytes(warps, 1).
template <int kBits, class Block>
NEARPLANE_HOST_DEVICE void dense_gemv(Block& block, const DenseMatrix& w, const Inputs& in, float* y) {
  using Warp = typename Block::Warp;
  auto* parts = reinterpret_cast<float*>(block.shared());
  block.each_warp([&](Warp& warp, int index) {
    warp.each([&](int lane) {
      float sum = 0;
      NEARPLANE_KEEP_LOOP
      for (int piece = index; piece < w.pieces; piece += block.warps()) {
        const auto at = w.scale_at(block.index() * kBlockRows + lane, piece / w.group_pieces);
        PieceSum<kBits> product;
        product.add_piece(w, in, block.index(), piece, lane);
        sum = add_piece(sum, product.total(), w.zeros[at], in.sums[piece], widen_f16(w.scales[at]) * in.scales[piece]);
      }
      parts[index * kBlockRows + lane] = sum;
    });
  });
  finish_rows(block, w.extras, in, w.rows, w.cols, block.index() * kBlockRows, parts, block.warps(), y, list_step(w));
}

}  // namespace nearplane::cuda
