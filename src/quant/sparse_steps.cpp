#include "quant/sparse_steps.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>

#include "base/check.h"
#include "base/threads.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr double kLeastStep = 0x1p-24, kLargestStep = 65504;  // of f16
constexpr int kLargestCode = 32767;
constexpr double kRoom = 2;         // for error feedback
constexpr double kMostShare = 0.9;  // more codes in the list than this are not considered
constexpr std::int64_t kRows = 64;  // of a task

// Sizes in bins by exponent and the first five bits of the mantissa: 32 to an octave.
constexpr int kDropped = 18;
constexpr std::uint32_t kBins = 1u << (31 - kDropped);

std::uint32_t bin_of(float size) { return std::bit_cast<std::uint32_t>(size) >> kDropped; }
double start_of(std::uint32_t bin) { return static_cast<double>(std::bit_cast<float>(bin << kDropped)); }

}  // namespace

SparseSteps::SparseSteps(MatrixView<const float> w, const std::vector<double>& squared_pivots, std::int64_t group)
    : group_(group),
      largest_(w.rows, w.cols / group),
      size_(w.rows, w.cols / group),
      weight_(static_cast<std::size_t>(w.cols / group)),
      count_(weight_.size()) {
  assert(w.cols % group == 0 && std::ssize(squared_pivots) == w.cols);
  for (std::int64_t j = 0; j < w.cols; ++j)
    weight_[j / group] += squared_pivots[j], count_[j / group] += squared_pivots[j] > 0 ? 1 : 0;
  parallel_for(w.rows, [&](std::int64_t i) {
    for (std::int64_t g = 0; g < size_.cols(); ++g) {
      double sum = 0;
      for (auto j = g * group; j < (g + 1) * group; ++j) {
        largest_(i, g) = std::max(largest_(i, g), std::abs(w(i, j)));
        if (squared_pivots[j] > 0) sum += std::abs(static_cast<double>(w(i, j)));
      }
      size_(i, g) = static_cast<float>(sum / std::max(1.0, count_[g]));
    }
  });
  find_tail(w, squared_pivots);
}

void SparseSteps::find_tail(MatrixView<const float> w, const std::vector<double>& squared_pivots) {
  const auto tasks = (w.rows + kRows - 1) / kRows;
  std::vector<std::vector<std::int64_t>> counts(static_cast<std::size_t>(tasks));
  parallel_for(tasks, [&](std::int64_t task) {
    auto& bins = counts[static_cast<std::size_t>(task)];
    bins.resize(kBins);
    for (auto i = task * kRows; i < std::min(w.rows, (task + 1) * kRows); ++i)
      for (std::int64_t j = 0; j < w.cols; ++j)
        if (const float size = size_(i, j / group_); squared_pivots[j] > 0 && size > 0)
          ++bins[bin_of(std::abs(w(i, j)) / size)];
  });
  std::vector<std::int64_t> bins(kBins);
  std::int64_t all = 0;
  for (const auto& some : counts)
    for (std::uint32_t k = 0; k < kBins; ++k) bins[k] += some[k], all += some[k];
  std::int64_t beyond = 0;
  for (auto k = kBins - 1; k > 0 && static_cast<double>(beyond) < kMostShare * static_cast<double>(all); --k) {
    if (bins[k - 1] > 0 || beyond > 0)
      tail_.push_back({start_of(k), static_cast<double>(beyond) / static_cast<double>(all)});
    beyond += bins[k - 1];
  }
  std::reverse(tail_.begin(), tail_.end());
}

double SparseSteps::best_step(std::int64_t row, std::int64_t g, double price, int bits) const {
  const double reach = std::exp2(bits - 1), coarsest = static_cast<double>(largest_(row, g)) / reach;
  const auto size = static_cast<double>(size_(row, g));
  if (weight_[g] == 0 || size == 0) return coarsest;
  const double weight = weight_[g] / 12 * size * size / (reach * reach), each = price * count_[g];
  double best = INFINITY, least = INFINITY;
  for (const auto& [end, share] : tail_) {
    const double cost = weight * end * end + each * share;
    if (cost < least) least = cost, best = end * size / reach;
  }
  return std::min(best, coarsest);
}

lattice::Grid SparseSteps::at(double price, int bits, const std::string& where) const {
  lattice::Grid grid{.group = group_,
                     .min_code = -kLargestCode,
                     .max_code = kLargestCode,
                     .step = Matrix<float>::uninitialized(largest_.rows(), largest_.cols()),
                     .zero = {largest_.rows(), largest_.cols()}};
  parallel_for(grid.step.rows(), [&](std::int64_t i) {
    for (std::int64_t g = 0; g < grid.step.cols(); ++g) {
      const double least = std::max(kLeastStep, static_cast<double>(largest_(i, g)) * kRoom / kLargestCode);
      const double step = std::max(least, best_step(i, g, price, bits));
      if (step > kLargestStep)
        fail_input(where, "group {} of row {} needs a step of {}, beyond the largest f16 number {}", g, i, step,
                   kLargestStep);
      grid.step(i, g) = f16_to_f32(f32_to_f16(static_cast<float>(step)));
    }
  });
  return grid;
}

double SparseSteps::scale() const {
  double sum = 0;
  for (std::int64_t i = 0; i < size_.rows(); ++i)
    for (std::int64_t g = 0; g < size_.cols(); ++g)
      sum += weight_[g] / static_cast<double>(group_) * std::pow(static_cast<double>(size_(i, g)), 2);
  return sum / static_cast<double>(size_.size());
}

}  // namespace nearplane
