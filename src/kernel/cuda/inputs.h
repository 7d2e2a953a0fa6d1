// Inputs of a product as integers of about 16 bits in two planes of signed bytes: value = scale (254 high + low), one
// scale for each piece of a row, so that a massive input costs precision in its own piece only. Both planes are
// operands of byte products; a sum over a piece is exact in 32 bits.
// Bound: an input is within scale / 2 = 2^-16 of the largest of its piece.
#pragma once

#include "kernel/cuda/block.h"

namespace nearplane::cuda {

inline constexpr std::int32_t kPlane = 254, kLargestInput = 127 * kPlane + 126;
/// Columns whose products with unsigned bytes have a sum of 32 bits.
inline constexpr int kMostPieceColumns = 252;
static_assert(255ll * kLargestInput * kMostPieceColumns <= INT32_MAX);

/// How the columns of a row are cut into pieces, and the inputs of a piece lie in words.
struct PieceShape {
  int cols, columns, pieces, words;  // of a row; of a piece; columns pieces >= cols; of a plane of a piece
  int tuple;                         // 4: a word has four columns. 1, 2, 3: see column()

  /// Byte `byte` of word `word` of a piece: its column, -1 where there is none. Tuples stand in the last bytes of a
  /// word, as their points do in the entries of a table; of four words three are used.
  NEARPLANE_HOST_DEVICE int column(int word, int byte) const {
    if (tuple == 4) return 4 * word + byte;
    const int i = byte - (4 - tuple);
    return i < 0 || word % 4 == 3 ? -1 : (word / 4 * 3 + word % 4) * tuple + i;
  }
};

struct Inputs {
  int tokens;
  std::uint32_t *high, *low;  // [T][pieces][words]
  float* scales;              // [T][pieces]
  std::int32_t* sums;         // [T][pieces], of the integers
  const float* x;             // [T][cols] as they were, steps of columns multiplied in
};

/// x [T, cols] to planes, scales and sums. A piece with a number that is not finite gets the scale NaN, one of numbers
/// below 2^-100 counts as zeros. A warp for each token and piece.
template <class Block>
NEARPLANE_HOST_DEVICE void pack_inputs(Block& block, const PieceShape& shape, const Inputs& out) {
  using Warp = typename Block::Warp;
  block.each_warp([&](Warp& warp, int index) {
    const int item = block.index() * block.warps() + index;
    if (item >= out.tokens * shape.pieces) return;
    const int first = item % shape.pieces * shape.columns, left = shape.cols - first;
    const int count = left < shape.columns ? left : shape.columns;
    const float* x = out.x + static_cast<std::int64_t>(item / shape.pieces) * shape.cols + first;
    typename Warp::template PerLane<float> largest;
    typename Warp::template PerLane<std::int32_t> sum;
    warp.each([&](int lane) {
      largest[lane] = 0;
      for (int j = lane; j < count; j += kLanes) {
        const float size = x[j] < 0 ? -x[j] : x[j];
        if (!(size <= largest[lane])) largest[lane] = is_finite(x[j]) ? size : __builtin_huge_valf();
      }
    });
    for (int mask = kLanes / 2; mask > 0; mask /= 2) warp.max_across(largest, mask);
    warp.each([&](int lane) {
      const float most = largest[lane];
      const bool some = is_finite(most) && most >= 0x1p-100f;
      const float scale = most / kLargestInput;
      sum[lane] = 0;
      for (int word = lane; word < shape.words; word += kLanes) {
        std::uint32_t high = 0, low = 0;
        for (int byte = 0; byte < 4; ++byte) {
          const int column = shape.column(word, byte);
          if (!some || column < 0 || column >= count) continue;
          const auto v = round_even(x[column] / scale);
          const auto h = (v + kPlane / 2 - 1 + 128 * kPlane) / kPlane - 128;
          high |= (static_cast<std::uint32_t>(h) & 255) << 8 * byte;
          low |= (static_cast<std::uint32_t>(v - kPlane * h) & 255) << 8 * byte;
          sum[lane] += v;
        }
        const auto at = static_cast<std::int64_t>(item) * shape.words + word;
        out.high[at] = high, out.low[at] = low;
      }
      out.scales[item] = is_finite(most) ? some ? scale : 0 : __builtin_nanf("");
    });
    for (int mask = kLanes / 2; mask > 0; mask /= 2) warp.add_across(sum, mask);
    warp.each([&](int lane) {
      if (lane == 0) out.sums[item] = sum[0];
    });
  });
}

}  // namespace nearplane::cuda
