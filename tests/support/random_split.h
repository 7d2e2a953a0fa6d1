// A valid layer split into outliers and the rest, with random codes and scales; every row has its outliers elsewhere.
#pragma once

#include "base/rng.h"
#include "codec/pack.h"
#include "qtensor/split_tensor.h"

namespace nearplane {

[[gnu::noinline]] inline SplitTensor random_split(std::int64_t rows, std::int64_t cols, int bits, std::int64_t outliers,
                                                  std::uint64_t seed) {
  Rng rng(seed);
  SplitTensor t;
  t.rows = rows, t.cols = cols, t.bits = bits, t.outliers = outliers;
  std::vector<std::uint8_t> row(static_cast<std::size_t>(cols));
  Matrix<std::int32_t> columns(rows, outliers);
  const auto row_bytes = packed_row_bytes(cols, bits);
  const auto scale = [&] { return static_cast<std::uint16_t>(rng.below(0x7c00)); };
  t.codes.resize(static_cast<std::size_t>(rows * row_bytes));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (auto& code : row) code = static_cast<std::uint8_t>(rng.below(1u << bits));
    pack_row(row, bits, t.codes.data() + r * row_bytes);
    t.scales.push_back({scale(), scale(), scale()});
    const auto first = static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(cols - outliers + 1)));
    for (std::int32_t k = 0; k < outliers; ++k) columns(r, k) = first + k;
  }
  t.gaps.emplace(encode_gaps(columns.view()), rows, cols, outliers, "random");
  return t;
}

}  // namespace nearplane
