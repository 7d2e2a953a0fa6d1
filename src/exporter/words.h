// Bit streams in 32-bit words, the unit both formats are made of: number k of a stream occupies bits [k b, (k+1) b),
// bit i is bit i % 32 (least significant first) of word i / 32, and the unused bits of the last word are zero.
#pragma once

#include <algorithm>

#include "qtensor/integer_tensor.h"

namespace nearplane {

constexpr std::int64_t words_of(std::int64_t count, int bits) { return (count * bits + 31) / 32; }

/// One stream per row of W: [m, words_of(n)].
Matrix<std::uint32_t> code_words(const IntegerTensor& layer);
/// One stream per group over the rows of W, each zero point less `subtract`: [G, words_of(m)].
Matrix<std::uint32_t> zero_words(const IntegerTensor& layer, int subtract);

/// [r, c] to [c, r].
template <class T>
Matrix<T> transposed(MatrixView<const T> a) {
  constexpr std::int64_t kTile = 32;  // rows and columns of a tile share their cache lines
  auto out = Matrix<T>::uninitialized(a.cols, a.rows);
  for (std::int64_t r0 = 0; r0 < a.rows; r0 += kTile)
    for (std::int64_t c0 = 0; c0 < a.cols; c0 += kTile)
      for (auto r = r0; r < std::min(r0 + kTile, a.rows); ++r)
        for (auto c = c0; c < std::min(c0 + kTile, a.cols); ++c) out(c, r) = a(r, c);
  return out;
}

}  // namespace nearplane
