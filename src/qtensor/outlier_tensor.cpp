#include "qtensor/outlier_tensor.h"

#include <algorithm>

#include "base/check.h"
#include "codec/pack.h"
#include "qtensor/dequantize.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr std::int64_t kMostColumns = 1 << 16;

bool negative_or_infinite(std::uint16_t half) { return half >= 0x7c00; }

void check_kept(const OutlierTensor& t, const std::string& where) {
  if (t.starts[0] != 0 || t.starts.back() != std::ssize(t.columns) || t.values.size() != t.columns.size())
    fail_input(where, "{} columns and {} values of kept weights that start at {} and end at {}", t.columns.size(),
               t.values.size(), t.starts[0], t.starts.back());
  for (std::int64_t r = 0; r < t.rows; ++r) {
    const std::int64_t begin = t.starts[r], end = t.starts[r + 1];
    if (begin > end || end > std::ssize(t.columns))
      fail_input(where, "kept weights of row {} start at {} and end at {}", r, begin, end);
    for (auto k = begin; k < end; ++k) {
      if (t.columns[k] >= t.cols || (k > begin && t.columns[k] <= t.columns[k - 1]))
        fail_input(where, "kept weight {} of row {} is in column {}: outside, or not after the one before", k - begin,
                   r, t.columns[k]);
      if ((t.values[k] & 0x7c00) == 0x7c00)
        fail_input(where, "kept weight ({}, {}) is {}", r, t.columns[k], f16_to_f32(t.values[k]));
    }
  }
}

}  // namespace

void OutlierTensor::validate(const std::string& where) const {
  if (rows < 1 || cols < 1) fail_input(where, "shape {} x {} is empty", rows, cols);
  if (cols > kMostColumns) fail_input(where, "{} columns are above {}", cols, kMostColumns);
  if (bits < 2 || bits > 8) fail_input(where, "{} bits are outside 2 to 8", bits);
  if (group < 1 || group > cols) fail_input(where, "a group of {} columns in rows of {}", group, cols);
  const auto expect = [&](const char* what, std::size_t have, std::int64_t want) {
    if (static_cast<std::int64_t>(have) != want) fail_input(where, "{} has {} entries instead of {}", what, have, want);
  };
  expect("codes", codes.size(), rows * packed_row_bytes(cols, bits));
  expect("step_codes", step_codes.size(), rows * packed_row_bytes(groups(), kScaleBits));
  expect("zero_codes", zero_codes.size(), rows * packed_row_bytes(groups(), kScaleBits));
  expect("supers", supers.size(), super_rows() * groups());
  expect("starts", starts.size(), rows + 1);
  for (std::size_t i = 0; i < supers.size(); ++i) {
    const auto& s = supers[i];
    if (s.step_low == 0 || negative_or_infinite(s.step_low) || negative_or_infinite(s.step_delta) ||
        negative_or_infinite(s.zero_low) || negative_or_infinite(s.zero_delta))
      fail_input(where, "super group {} of rows from {} has steps from {} by {}, zero points from {} by {}",
                 static_cast<std::int64_t>(i) % groups(), static_cast<std::int64_t>(i) / groups() * kSuperRows,
                 f16_to_f32(s.step_low), f16_to_f32(s.step_delta), f16_to_f32(s.zero_low), f16_to_f32(s.zero_delta));
  }
  check_kept(*this, where);
}

std::int64_t OutlierTensor::stored_bytes() const {
  return std::ssize(codes) + std::ssize(step_codes) + std::ssize(zero_codes) +
         std::ssize(supers) * static_cast<std::int64_t>(sizeof(Super)) + 4 * std::ssize(starts) +
         2 * std::ssize(columns) + 2 * std::ssize(values);
}

void OutlierTensor::scales_of_row(std::int64_t r, float* step, float* zero) const {
  const auto bytes = packed_row_bytes(groups(), kScaleBits);
  std::vector<std::uint8_t> s(static_cast<std::size_t>(groups())), z(s.size());
  unpack_row(step_codes.data() + r * bytes, kScaleBits, s);
  unpack_row(zero_codes.data() + r * bytes, kScaleBits, z);
  const auto* super = supers.data() + r / kSuperRows * groups();
  for (std::int64_t g = 0; g < groups(); ++g) {
    step[g] = f16_to_f32(super[g].step_low) + f16_to_f32(super[g].step_delta) * static_cast<float>(s[g]);
    zero[g] = f16_to_f32(super[g].zero_low) + f16_to_f32(super[g].zero_delta) * static_cast<float>(z[g]);
  }
}

void OutlierTensor::decode_rows(std::int64_t r0, std::int64_t count, float* out) const {
  std::vector<std::uint8_t> z(static_cast<std::size_t>(cols));
  std::vector<float> step(static_cast<std::size_t>(groups())), zero(step.size());
  for (auto r = r0; r < r0 + count; ++r, out += cols) {
    unpack_row(codes.data() + r * packed_row_bytes(cols, bits), bits, z);
    scales_of_row(r, step.data(), zero.data());
    for (std::int64_t g = 0; g < groups(); ++g) {
      const auto begin = g * group;
      dequantize(z.data() + begin, std::min(group, cols - begin), step[g], zero[g], out + begin);
    }
    for (auto k = starts[r]; k < starts[r + 1]; ++k) out[columns[k]] = f16_to_f32(values[k]);
  }
}

}  // namespace nearplane
