// A valid layer with kept weights and random codes, scales and values.
#pragma once

#include "base/rng.h"
#include "codec/pack.h"
#include "qtensor/outlier_tensor.h"

namespace nearplane {

[[gnu::noinline]] inline OutlierTensor random_outlier(std::int64_t rows, std::int64_t cols, int bits,
                                                      std::int64_t group, std::uint64_t seed) {
  Rng rng(seed);
  OutlierTensor t;
  t.rows = rows, t.cols = cols, t.bits = bits, t.group = group;
  const auto packed = [&](std::int64_t count, int width) {
    std::vector<std::uint8_t> row(static_cast<std::size_t>(count));
    const auto bytes = packed_row_bytes(count, width);
    std::vector<std::byte> out(static_cast<std::size_t>(rows * bytes));
    for (std::int64_t r = 0; r < rows; ++r) {
      for (auto& code : row) code = static_cast<std::uint8_t>(rng.below(1u << width));
      pack_row(row, width, out.data() + r * bytes);
    }
    return out;
  };
  const auto half = [&] { return static_cast<std::uint16_t>(1 + rng.below(0x6000)); };
  t.codes = packed(cols, bits), t.step_codes = packed(t.groups(), kScaleBits),
  t.zero_codes = packed(t.groups(), kScaleBits);
  for (std::int64_t i = 0; i < t.super_rows() * t.groups(); ++i) t.supers.push_back({half(), half(), half(), half()});
  t.starts = {0};
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t j = 0; j < cols; ++j)
      if (rng.below(8) == 0) {
        t.columns.push_back(static_cast<std::uint16_t>(j));
        t.values.push_back(static_cast<std::uint16_t>(half() | rng.below(2) << 15));
      }
    t.starts.push_back(static_cast<std::int32_t>(t.columns.size()));
  }
  return t;
}

}  // namespace nearplane
