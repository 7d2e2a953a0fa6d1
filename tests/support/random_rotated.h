// A valid rotated layer with random codes.
#pragma once

#include "codec/pack.h"
#include "qtensor/rotated_tensor.h"

namespace nearplane {

[[gnu::noinline]] inline RotatedTensor random_rotated(std::int64_t rows, std::int64_t cols, int bits,
                                                      std::uint64_t seed) {
  Rng rng(seed);
  RotatedTensor t;
  t.rows = rows, t.cols = cols, t.bits = bits, t.seed = rng.bits(), t.step = 0.25f;
  std::vector<std::uint8_t> row(static_cast<std::size_t>(cols));
  const auto row_bytes = packed_row_bytes(cols, bits);
  t.codes.resize(static_cast<std::size_t>(rows * row_bytes));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (auto& code : row) code = static_cast<std::uint8_t>(rng.below(1u << bits));
    pack_row(row, bits, t.codes.data() + r * row_bytes);
  }
  return t;
}

}  // namespace nearplane
