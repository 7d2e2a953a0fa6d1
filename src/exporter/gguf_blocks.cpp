#include "exporter/gguf_blocks.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr std::int64_t kBlock = 32, kHalf = kBlock / 2;

struct Row {
  std::vector<std::uint8_t> codes, zeros;
  Row(const IntegerTensor& t, std::int64_t r)
      : codes(static_cast<std::size_t>(t.cols)), zeros(static_cast<std::size_t>(t.groups())) {
    t.codes_of_row(r, codes.data());
    t.zeros_of_row(r, zeros.data());
  }
};

// m of a block; the f16 nearest to it, which is the same number if the layer fits.
std::uint16_t minimum(std::uint16_t scale, int zero) {
  return f32_to_f16(-f16_to_f32(scale) * static_cast<float>(zero));
}
bool minimum_is_exact(std::uint16_t scale, int zero) {
  return f16_to_f32(minimum(scale, zero)) == -f16_to_f32(scale) * static_cast<float>(zero);
}

struct Range {
  int low = 0, high = 0;  // of code - zero
  std::int64_t inexact_row = -1, inexact_group = -1;
};

Range range_of(const IntegerTensor& t) {
  Range out;
  const auto group = static_cast<std::size_t>(t.group);
  for (std::int64_t r = 0; r < t.rows; ++r) {
    const Row row(t, r);
    for (std::size_t g = 0; g < row.zeros.size(); ++g) {
      const auto begin = row.codes.begin() + static_cast<std::ptrdiff_t>(g * group);
      const auto [low, high] = std::minmax_element(begin, begin + t.group);
      out.low = std::min(out.low, *low - row.zeros[g]);
      out.high = std::max(out.high, *high - row.zeros[g]);
      const auto scale = t.scales[static_cast<std::size_t>(r * t.groups()) + g];
      if (out.inexact_row < 0 && !minimum_is_exact(scale, row.zeros[g]))
        out.inexact_row = r, out.inexact_group = static_cast<std::int64_t>(g);
    }
  }
  return out;
}

}  // namespace

DType gguf_block_type(const IntegerTensor& t, const std::string& where) {
  if (t.group % kBlock != 0)
    fail_unsupported(where, "groups of {}: GGUF has one scale for each block of 32 columns", t.group);
  const auto range = range_of(t);
  if (t.bits <= 4) {
    if (range.low >= -8 && range.high <= 7) return DType::q4_0;
    if (range.inexact_row < 0) return DType::q4_1;
    const auto i = range.inexact_row * t.groups() + range.inexact_group;
    fail_unsupported(where,
                     "row {}, group {}: Q4_1 would have to round scale x zero point ({} x {}) to float16; quantize "
                     "with --symmetric for GGUF",
                     range.inexact_row, range.inexact_group, f16_to_f32(t.scales[static_cast<std::size_t>(i)]),
                     Row(t, range.inexact_row).zeros[static_cast<std::size_t>(range.inexact_group)]);
  }
  if (range.low < -128 || range.high > 127)
    fail_unsupported(where,
                     "codes less zero points reach from {} to {}, Q8_0 holds -128 to 127; quantize with "
                     "--symmetric for GGUF",
                     range.low, range.high);
  return DType::q8_0;
}

void write_gguf_row(const IntegerTensor& t, std::int64_t r, DType type, std::byte* out) {
  const Row row(t, r);
  const auto put = [&](std::uint16_t half) { std::memcpy(out, &half, 2), out += 2; };
  for (std::int64_t c = 0; c < t.cols; c += kBlock) {
    const auto g = c / t.group;
    const int zero = row.zeros[static_cast<std::size_t>(g)];
    const auto scale = t.scales[static_cast<std::size_t>(r * t.groups() + g)];
    const auto* codes = row.codes.data() + c;
    put(scale);
    if (type == DType::q8_0) {
      for (std::int64_t i = 0; i < kBlock; ++i) *out++ = static_cast<std::byte>(codes[i] - zero);
      continue;
    }
    if (type == DType::q4_1) put(minimum(scale, zero));
    const int shift = type == DType::q4_1 ? 0 : 8 - zero;
    for (std::int64_t i = 0; i < kHalf; ++i)
      *out++ = static_cast<std::byte>((codes[i] + shift) | (codes[i + kHalf] + shift) << 4);
  }
}

}  // namespace nearplane
