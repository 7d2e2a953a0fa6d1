#include "quant/scale_search.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/threads.h"
#include "quant/search_tile.h"

namespace nearplane {
namespace {

constexpr float kLargestStep = 65504.0f;  // of f16

// Weights of one group as f32 with largest 1; all 1 where none is positive.
void scale_weights(std::span<const double> weights, float* out) {
  const double largest = *std::max_element(weights.begin(), weights.end());
  for (std::size_t j = 0; j < weights.size(); ++j)
    out[j] = largest > 0 ? static_cast<float>(weights[j] / largest) : 1.0f;
}

// w [rows, group] -> out [group][kSearchRows]; rows missing to a full tile are zero.
void transpose_group(MatrixView<const float> w, float* out) {
  for (std::int64_t j = 0; j < w.cols; ++j)
    for (std::int64_t r = 0; r < kSearchRows; ++r) out[j * kSearchRows + r] = r < w.rows ? w(r, j) : 0.0f;
}

[[noreturn]] void fail_step(std::int64_t row, std::int64_t group, float step, const std::string& where) {
  fail_input(where, "group {} of row {} needs a step of {}, beyond the largest f16 number {}", group, row, step,
             kLargestStep);
}

}  // namespace

lattice::Grid choose_grid(MatrixView<const float> w, std::span<const double> weights, int bits, std::int64_t group,
                          bool symmetric, const std::string& where) {
  assert(w.cols % group == 0 && (weights.empty() || std::ssize(weights) == w.cols));
  const auto groups = w.cols / group;
  std::vector<float> scaled(weights.size());
  if (!weights.empty())
    for (std::int64_t g = 0; g < groups; ++g)
      scale_weights(weights.subspan(g * group, group), scaled.data() + g * group);

  lattice::Grid grid{.group = group,
                     .max_code = (1 << bits) - 1,
                     .step = Matrix<float>::uninitialized(w.rows, groups),
                     .zero = Matrix<float>::uninitialized(w.rows, groups)};
  parallel_for((w.rows + kSearchRows - 1) / kSearchRows, [&](std::int64_t index) {
    const auto r0 = index * kSearchRows, count = std::min(kSearchRows, w.rows - r0);
    auto transposed = Matrix<float>::uninitialized(group, kSearchRows);
    alignas(64) float step[kSearchRows], zero[kSearchRows];
    for (std::int64_t g = 0; g < groups; ++g) {
      transpose_group(w.block(r0, g * group, count, group), transposed.data());
      search_tile({.w = transposed.data(),
                   .weight = weights.empty() ? nullptr : scaled.data() + g * group,
                   .columns = group,
                   .max_code = static_cast<float>(grid.max_code),
                   .fixed_zero = symmetric ? static_cast<float>(1 << (bits - 1)) : 0.0f},
                  step, zero);
      for (std::int64_t r = 0; r < count; ++r) {
        if (!(step[r] <= kLargestStep)) fail_step(r0 + r, g, step[r], where);
        grid.step(r0 + r, g) = step[r];
        grid.zero(r0 + r, g) = zero[r];
      }
    }
  });
  return grid;
}

}  // namespace nearplane
