// what each weight costs its group -> kept weights -> grids of the others, their scales quantized -> nearest plane ->
// pack.
#include "quant/quantize_spqr.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/threads.h"
#include "codec/pack.h"
#include "lattice/bound.h"
#include "lattice/error.h"
#include "quant/by_weight.h"
#include "quant/hessian_state.h"
#include "quant/measure.h"
#include "quant/scale_search.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr double kKeptShare = 0.01;
constexpr double kLargest = 65504.0;  // of f16
constexpr int kLastScaleCode = (1 << kScaleBits) - 1;

// A group of weights rounded to the grid over their range, all but one of them.
class Group {
 public:
  Group(const float* w, const double* cost, std::int64_t count, int max_code)
      : w_(w), cost_(cost), count_(count), max_code_(max_code) {}

  // What the group's error falls by if weight j is kept, for all of them.
  void savings(float* out) const {
    std::vector<double> own(static_cast<std::size_t>(count_));
    const double all = error(-1, own.data());
    const auto [low, high] = std::minmax_element(w_, w_ + count_);
    for (std::int64_t j = 0; j < count_; ++j) {
      const bool sets_range = w_ + j == low || w_ + j == high;  // another one leaves the grid as it is
      out[j] = static_cast<float>(sets_range ? all - error(j, nullptr) : own[j]);
    }
  }

 private:
  double error(std::int64_t skipped, double* own) const {
    double low = 0, high = 0, sum = 0;
    for (std::int64_t j = 0; j < count_; ++j)
      if (j != skipped) low = std::min<double>(low, w_[j]), high = std::max<double>(high, w_[j]);
    if (low == high) return 0;
    const double step = (high - low) / max_code_, zero = std::nearbyint(-low / step);
    for (std::int64_t j = 0; j < count_; ++j) {
      if (j == skipped) continue;
      const double x = w_[j];
      const double d = x - step * (std::clamp(std::nearbyint(x / step) + zero, 0.0, double{1} * max_code_) - zero);
      sum += cost_[j] * d * d;
      if (own != nullptr) own[j] = cost_[j] * d * d;
    }
    return sum;
  }

  const float* w_;
  const double* cost_;
  std::int64_t count_;
  int max_code_;
};

// Numbers of a super group as low + delta * code; codes in place of the numbers.
struct SuperScale {
  std::uint16_t low, delta;
};
SuperScale quantize_scales(std::vector<float>& numbers) {
  const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
  const SuperScale out{f32_to_f16(*low), f32_to_f16((*high - *low) / kLastScaleCode)};
  const float from = f16_to_f32(out.low), delta = f16_to_f32(out.delta);
  for (auto& x : numbers)
    x = delta > 0 ? std::clamp(std::nearbyint((x - from) / delta), 0.0f, static_cast<float>(kLastScaleCode)) : 0.0f;
  return out;
}

class SpqrSolver {
 public:
  SpqrSolver(const Matrix<float>& w, const Hessian::State& hessian, const GridOptions& options,
             const std::string& where)
      : w_(w),
        hessian_(hessian),
        options_(options),
        where_(where),
        clipped_(static_cast<std::size_t>(w.rows())),
        kept_(w.rows(), w.cols()),
        codes_(w.rows(), w.cols()),
        values_(w.rows(), w.cols()) {
    out_.rows = w.rows(), out_.cols = w.cols(), out_.bits = static_cast<int>(options.bits);
    out_.group = options.group == 0 ? w.cols() : options.group;
    if (w.cols() % out_.group != 0) fail_input(where, "groups of {} do not divide {} columns", out_.group, w.cols());
    if (w.cols() > 1 << 16) fail_input(where, "{} columns are above 65536", w.cols());
  }

  QuantizedLayer solve() {
    keep_weights();
    choose_scales();
    auto out = decide_by_weight(
        w_, hessian_, true, [this](std::int64_t r, std::int64_t j, double c) { return quantize(r, j, c); },
        [this] { return pack(); });
    const double norm = total(lattice::row_errors<float>(w_.view(), hessian_.gram));
    out.record.bits = out_.bits;
    out.record.clipped_share = clipped_share_;
    out.record.bound = ratio(lattice::error_bound(hessian_.triangle.factor, grid_), norm);  // kept weights err less
    out.record.expectation = out.record.bound / 3;
    return out;
  }

 private:
  // The share of weights that saves most.
  void keep_weights() {
    const auto cost = cost_of_columns(hessian_, true);
    auto saved = Matrix<float>::uninitialized(w_.rows(), w_.cols());
    parallel_for(w_.rows(), [&](std::int64_t r) {
      for (std::int64_t j = 0; j < w_.cols(); ++j)
        if (std::abs(static_cast<double>(w_(r, j))) > kLargest)
          fail_input(where_, "weight ({}, {}) is {}, beyond f16", r, j, w_(r, j));
      for (std::int64_t j = 0; j < w_.cols(); j += out_.group)
        Group(w_.row(r) + j, cost.data() + j, out_.group, (1 << out_.bits) - 1).savings(saved.row(r) + j);
    });
    const auto wanted = std::lround(kKeptShare * static_cast<double>(w_.size()));
    std::vector<float> order(saved.data(), saved.data() + saved.size());
    std::nth_element(order.begin(), order.begin() + wanted, order.end(), std::greater<>());
    const float threshold = std::max(order[static_cast<std::size_t>(wanted)], 0.0f);
    for (std::int64_t i = 0; i < w_.size(); ++i) kept_.data()[i] = saved.data()[i] > threshold;
  }

  // Grids of the groups without kept weights, then their steps and zero points by super groups.
  void choose_scales() {
    auto rest = w_.clone();
    for (std::int64_t i = 0; i < w_.size(); ++i)
      if (kept_.data()[i] != 0) rest.data()[i] = 0;  // a level of every grid
    std::vector<double> weights;
    if (options_.scales != ScaleSearch::minmax)
      weights = cost_of_columns(hessian_, options_.scales == ScaleSearch::pivots);
    grid_ = choose_grid(rest.view(), weights, out_.bits, out_.group, false, where_);
    out_.supers.resize(static_cast<std::size_t>(out_.super_rows() * out_.groups()));
    Matrix<std::uint8_t> step_codes(w_.rows(), out_.groups()), zero_codes(w_.rows(), out_.groups());
    for (std::int64_t s = 0; s < out_.super_rows(); ++s)
      for (std::int64_t g = 0; g < out_.groups(); ++g) {
        auto& super = out_.supers[static_cast<std::size_t>(s * out_.groups() + g)];
        const auto steps = quantize_super(grid_.step, s, g, step_codes),
                   zeros = quantize_super(grid_.zero, s, g, zero_codes);
        super = {steps.low, steps.delta, zeros.low, zeros.delta};
      }
    out_.step_codes = pack_rows(step_codes, kScaleBits);
    out_.zero_codes = pack_rows(zero_codes, kScaleBits);
    for (std::int64_t r = 0; r < w_.rows(); ++r) out_.scales_of_row(r, grid_.step.row(r), grid_.zero.row(r));
  }

  // `scales` [m, G] of super row s and group g.
  static SuperScale quantize_super(const Matrix<float>& scales, std::int64_t s, std::int64_t g,
                                   Matrix<std::uint8_t>& codes) {
    std::vector<float> numbers;
    const auto r0 = s * kSuperRows, r1 = std::min(scales.rows(), r0 + kSuperRows);
    for (auto r = r0; r < r1; ++r) numbers.push_back(scales(r, g));
    const auto out = quantize_scales(numbers);
    for (auto r = r0; r < r1; ++r) codes(r, g) = static_cast<std::uint8_t>(numbers[static_cast<std::size_t>(r - r0)]);
    return out;
  }

  static std::vector<std::byte> pack_rows(const Matrix<std::uint8_t>& codes, int bits) {
    const auto row_bytes = packed_row_bytes(codes.cols(), bits);
    std::vector<std::byte> out(static_cast<std::size_t>(codes.rows() * row_bytes));
    for (std::int64_t r = 0; r < codes.rows(); ++r)
      pack_row({codes.row(r), static_cast<std::size_t>(codes.cols())}, bits, out.data() + r * row_bytes);
    return out;
  }

  // A target that is not a number gets the lowest code.
  float quantize(std::int64_t r, std::int64_t j, double c) {
    if (kept_(r, j) != 0) {
      values_(r, j) = f32_to_f16(static_cast<float>(c >= -kLargest ? std::min(c, kLargest) : -kLargest));
      return f16_to_f32(values_(r, j));
    }
    const float step = grid_.step(r, j / out_.group), zero = grid_.zero(r, j / out_.group);
    const double t = c / static_cast<double>(step) + static_cast<double>(zero), last = grid_.max_code;
    clipped_[r] += t < -0.5 || t > last + 0.5;
    codes_(r, j) = t > 0 ? static_cast<std::uint8_t>(std::nearbyint(std::min(t, last))) : std::uint8_t{0};
    return step * (static_cast<float>(codes_(r, j)) - zero);
  }

  QuantizedTensor pack() {
    out_.codes = pack_rows(codes_, out_.bits);
    out_.starts = {0}, out_.columns.clear(), out_.values.clear();
    for (std::int64_t r = 0; r < w_.rows(); ++r) {
      for (std::int64_t j = 0; j < w_.cols(); ++j)
        if (kept_(r, j) != 0) {
          out_.columns.push_back(static_cast<std::uint16_t>(j));
          out_.values.push_back(values_(r, j));
        }
      out_.starts.push_back(static_cast<std::int32_t>(out_.columns.size()));
    }
    clipped_share_ = static_cast<double>(std::accumulate(clipped_.begin(), clipped_.end(), std::int64_t{0})) /
                     static_cast<double>(w_.size());
    std::fill(clipped_.begin(), clipped_.end(), 0);
    return out_;
  }

  const Matrix<float>& w_;
  const Hessian::State& hessian_;
  const GridOptions& options_;
  const std::string& where_;
  std::vector<std::int64_t> clipped_;  // codes of each row
  Matrix<std::uint8_t> kept_, codes_;  // 1 for kept weights
  Matrix<std::uint16_t> values_;       // f16, of kept weights
  lattice::Grid grid_;                 // with the steps and zero points that are stored
  OutlierTensor out_;
  double clipped_share_ = 0;
};

}  // namespace

QuantizedLayer quantize_spqr(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                             const std::string& where) {
  check_search(options, where);
  check_weights(w, hessian.gram().cols(), where);
  return SpqrSolver(w, hessian.state(), options, where).solve();
}

}  // namespace nearplane
