#include "qtensor/split_tensor.h"

#include "base/check.h"
#include "codec/pack.h"
#include "tensor/half.h"

namespace nearplane {

void SplitTensor::validate(const std::string& where) const {
  if (rows < 1 || cols < 1) fail_input(where, "shape {} x {} is empty", rows, cols);
  if (bits < 2 || bits > 8) fail_input(where, "{} bits are outside 2 to 8", bits);
  if (outliers < 0 || outliers > cols) fail_input(where, "{} outliers in rows of {}", outliers, cols);
  const auto expect = [&](const char* what, std::size_t have, std::int64_t want) {
    if (static_cast<std::int64_t>(have) != want) fail_input(where, "{} has {} entries instead of {}", what, have, want);
  };
  expect("codes", codes.size(), rows * packed_row_bytes(cols, bits));
  expect("scales", scales.size(), rows);
  for (std::size_t r = 0; r < scales.size(); ++r)
    for (const auto scale : {scales[r].step, scales[r].low, scales[r].outer_step})
      if (scale >= 0x7c00) fail_input(where, "a scale of row {} is {}", r, f16_to_f32(scale));
  if (!gaps) fail_input(where, "has no gaps");
  if (gaps->rows() != rows || gaps->cols() != cols || gaps->count() != outliers)
    fail_input(where, "gaps of {} outliers in {} x {} weights instead of {} in {} x {}", gaps->count(), gaps->rows(),
               gaps->cols(), outliers, rows, cols);
}

std::int64_t SplitTensor::stored_bytes() const {
  return std::ssize(codes) + std::ssize(scales) * static_cast<std::int64_t>(sizeof(Scales)) + std::ssize(gaps->bytes());
}

void SplitTensor::decode_rows(std::int64_t r0, std::int64_t count, float* out) const {
  const auto row_bytes = packed_row_bytes(cols, bits);
  const float middle = static_cast<float>((1 << bits) - 1) / 2;
  const int sign = 1 << (bits - 1);
  std::vector<std::uint8_t> z(static_cast<std::size_t>(cols));
  std::vector<std::int32_t> columns(static_cast<std::size_t>(outliers));
  for (auto r = r0; r < r0 + count; ++r, out += cols) {
    unpack_row(codes.data() + r * row_bytes, bits, z);
    gaps->columns_of_row(r, columns.data());
    const float step = f16_to_f32(scales[r].step), low = f16_to_f32(scales[r].low),
                outer = f16_to_f32(scales[r].outer_step);
    for (std::int64_t j = 0; j < cols; ++j) out[j] = step * (static_cast<float>(z[j]) - middle);
    for (const auto j : columns) {
      const float size = low + outer * static_cast<float>(z[j] & (sign - 1));
      out[j] = z[j] & sign ? -size : size;
    }
  }
}

}  // namespace nearplane
