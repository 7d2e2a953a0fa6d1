#include "qtensor/integer_tensor.h"

#include <algorithm>
#include <cassert>

#include "base/check.h"
#include "codec/pack.h"
#include "qtensor/dequantize.h"
#include "tensor/half.h"

namespace nearplane {

std::int64_t IntegerTensor::row_bytes() const { return packed_row_bytes(cols, bits); }

std::int64_t IntegerTensor::zero_row_bytes() const { return symmetric ? 0 : packed_row_bytes(groups(), bits); }

void IntegerTensor::validate(const std::string& where) const {
  if (rows < 1 || cols < 1) fail_input(where, "shape {} x {} is empty", rows, cols);
  if (bits < 2 || bits > 8) fail_input(where, "{} bits are outside 2 to 8", bits);
  if (group < 1 || group > cols) fail_input(where, "a group of {} columns in rows of {}", group, cols);
  const auto expect = [&](const char* what, std::size_t have, std::int64_t want) {
    if (static_cast<std::int64_t>(have) != want) fail_input(where, "{} has {} entries instead of {}", what, have, want);
  };
  expect("codes", codes.size(), rows * row_bytes());
  expect("scales", scales.size(), rows * groups());
  expect("zeros", zeros.size(), rows * zero_row_bytes());
  for (std::size_t i = 0; i < scales.size(); ++i)
    if (scales[i] == 0 || scales[i] >= 0x7c00)
      fail_input(where, "scale {} of row {} is {}: not finite and positive", static_cast<std::int64_t>(i) % groups(),
                 static_cast<std::int64_t>(i) / groups(), f16_to_f32(scales[i]));
}

std::int64_t IntegerTensor::stored_bytes() const {
  return std::ssize(codes) + 2 * std::ssize(scales) + std::ssize(zeros);
}

void IntegerTensor::codes_of_row(std::int64_t r, std::uint8_t* out) const {
  unpack_row(codes.data() + r * row_bytes(), bits, {out, static_cast<std::size_t>(cols)});
}

void IntegerTensor::zeros_of_row(std::int64_t r, std::uint8_t* out) const {
  const auto count = static_cast<std::size_t>(groups());
  if (symmetric)
    std::fill_n(out, count, static_cast<std::uint8_t>(1 << (bits - 1)));
  else
    unpack_row(zeros.data() + r * zero_row_bytes(), bits, {out, count});
}

void IntegerTensor::decode_rows(std::int64_t r0, std::int64_t count, float* out) const {
  std::vector<std::uint8_t> z(static_cast<std::size_t>(cols)), zero(static_cast<std::size_t>(groups()));
  for (std::int64_t r = r0; r < r0 + count; ++r, out += cols) {
    codes_of_row(r, z.data());
    zeros_of_row(r, zero.data());
    for (std::int64_t g = 0; g < groups(); ++g) {
      const auto begin = g * group;
      dequantize(z.data() + begin, std::min(group, cols - begin), f16_to_f32(scales[r * groups() + g]),
                 static_cast<float>(zero[g]), out + begin);
    }
  }
}

IntegerTensor pack_quantized(MatrixView<const std::uint8_t> codes, MatrixView<const std::uint16_t> scales,
                             MatrixView<const std::uint8_t> zeros, int bits, std::int64_t group, bool symmetric) {
  assert(scales.rows == codes.rows && (symmetric || zeros.rows == codes.rows));
  IntegerTensor t;
  t.rows = codes.rows, t.cols = codes.cols, t.bits = bits, t.group = group, t.symmetric = symmetric;
  assert(scales.cols == t.groups() && (symmetric || zeros.cols == t.groups()));
  t.codes.resize(static_cast<std::size_t>(t.rows * t.row_bytes()));
  t.zeros.resize(static_cast<std::size_t>(t.rows * t.zero_row_bytes()));
  for (std::int64_t r = 0; r < t.rows; ++r) {
    pack_row({codes.row(r), static_cast<std::size_t>(t.cols)}, bits, t.codes.data() + r * t.row_bytes());
    t.scales.insert(t.scales.end(), scales.row(r), scales.row(r) + t.groups());
    if (!symmetric)
      pack_row({zeros.row(r), static_cast<std::size_t>(t.groups())}, bits, t.zeros.data() + r * t.zero_row_bytes());
  }
  return t;
}

}  // namespace nearplane
