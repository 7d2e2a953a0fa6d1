#include "qtensor/coded_tensor.h"

#include <array>
#include <cmath>

#include "base/check.h"

namespace nearplane {
namespace {

constexpr int kStepsPerClass = 2;

void expect_size(const char* what, std::size_t have, std::int64_t want, const std::string& where) {
  if (have != 0 && static_cast<std::int64_t>(have) != want)
    fail_input(where, "{} has {} entries instead of {}", what, have, want);
}

}  // namespace

float step_scale(std::uint8_t code) {
  constexpr std::array<float, kStepsPerOctave> kFractions = {0x1.000000p+0f, 0x1.172b84p+0f, 0x1.306fe0p+0f,
                                                             0x1.4bfdaep+0f, 0x1.6a09e6p+0f, 0x1.8ace54p+0f,
                                                             0x1.ae89fap+0f, 0x1.d5818ep+0f};
  return std::ldexp(kFractions[code % kStepsPerOctave], (code - kUnitStep - code % kStepsPerOctave) / kStepsPerOctave);
}

std::vector<int> column_classes(const std::vector<std::uint8_t>& column_steps, std::int64_t cols) {
  std::vector<int> out(static_cast<std::size_t>(cols), kUnitStep / kStepsPerClass);
  for (std::size_t j = 0; j < column_steps.size(); ++j) out[j] = column_steps[j] / kStepsPerClass;
  return out;
}

void CodedTensor::validate(const std::string& where) const {
  if (rows < 1 || cols < 1) fail_input(where, "shape {} x {} is empty", rows, cols);
  if (!(step >= kLeastStep && step <= kLargestStep))
    fail_input(where, "step {} is outside {} to {}", step, kLeastStep, kLargestStep);
  expect_size("row_steps", row_steps.size(), rows, where);
  expect_size("column_steps", column_steps.size(), cols, where);
  if (!levels) fail_input(where, "has no levels");
  if (levels->rows() != rows || levels->cols() != cols)
    fail_input(where, "levels of {} x {} weights instead of {} x {}", levels->rows(), levels->cols(), rows, cols);
}

std::int64_t CodedTensor::stored_bytes() const {
  return static_cast<std::int64_t>(sizeof step) + std::ssize(row_steps) + std::ssize(column_steps) +
         std::ssize(levels->bytes());
}

void CodedTensor::decode_rows(std::int64_t r0, std::int64_t count, float* out) const {
  std::vector<std::int32_t> points(static_cast<std::size_t>(count * cols));
  levels->decode(r0, count, points.data());
  std::vector<float> a(static_cast<std::size_t>(cols), step);
  for (std::size_t j = 0; j < column_steps.size(); ++j) a[j] = step * step_scale(column_steps[j]);
  const auto* point = points.data();
  for (std::int64_t i = r0; i < r0 + count; ++i) {
    const float r = row_steps.empty() ? 1.0f : step_scale(row_steps[static_cast<std::size_t>(i)]);
    for (const float factor : a) *out++ = r * factor * static_cast<float>(*point++);
  }
}

}  // namespace nearplane
