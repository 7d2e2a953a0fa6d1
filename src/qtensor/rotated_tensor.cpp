#include "qtensor/rotated_tensor.h"

#include <algorithm>

#include "base/check.h"
#include "base/threads.h"
#include "codec/pack.h"

namespace nearplane {

RotatedTensor::Rotations RotatedTensor::rotations() const {
  Rng signs(seed);
  Rotation in(cols, signs);
  return {.in = std::move(in), .out = Rotation(rows, signs)};
}

void RotatedTensor::validate(const std::string& where) const {
  if (rows < 1 || cols < 1) fail_input(where, "shape {} x {} is empty", rows, cols);
  for (const auto extent : {rows, cols})
    if (odd_factor(extent) > kLargestOddFactor)
      fail_unsupported(where, "no rotation of {} coordinates: their odd part {} is above {}", extent,
                       odd_factor(extent), kLargestOddFactor);
  if (bits < 2 || bits > 8) fail_input(where, "{} bits are outside 2 to 8", bits);
  if (!(step >= kLeastRotatedStep && step <= kLargestRotatedStep))
    fail_input(where, "step {} is outside {} to {}", step, kLeastRotatedStep, kLargestRotatedStep);
  const auto want = rows * packed_row_bytes(cols, bits);
  if (std::ssize(codes) != want) fail_input(where, "codes has {} entries instead of {}", codes.size(), want);
}

std::int64_t RotatedTensor::stored_bytes() const {
  return std::ssize(codes) + static_cast<std::int64_t>(sizeof step + sizeof seed);
}

void RotatedTensor::decode_rotated(std::int64_t r0, std::int64_t count, float* out) const {
  const auto row_bytes = packed_row_bytes(cols, bits);
  const float middle = static_cast<float>((1 << bits) - 1) / 2;
  std::vector<std::uint8_t> z(static_cast<std::size_t>(cols));
  for (std::int64_t r = r0; r < r0 + count; ++r) {
    unpack_row(codes.data() + r * row_bytes, bits, z);
    for (const auto code : z) *out++ = step * (static_cast<float>(code) - middle);
  }
}

void RotatedTensor::decode_rows(std::int64_t r0, std::int64_t count, float* out) const {
  const auto all = decode();
  std::copy_n(all.row(r0), count * cols, out);
}

Matrix<float> RotatedTensor::decode() const {
  const auto rotation = rotations();
  auto z = Matrix<float>::uninitialized(rows, cols);
  parallel_for(rows, [&](std::int64_t r) { decode_rotated(r, 1, z.row(r)); });
  rotate_rows_back(rotation.in, z.view());
  auto columns = transposed(z);
  rotate_rows_back(rotation.out, columns.view());
  return transposed(columns);
}

}  // namespace nearplane
