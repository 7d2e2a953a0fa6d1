// outliers of every row -> scales of outliers and the rest -> codes by nearest plane or rounding -> pack.
#include "quant/quantize_icquant.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/threads.h"
#include "codec/pack.h"
#include "quant/by_weight.h"
#include "quant/hessian_state.h"
#include "quant/measure.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr double kOutlierShare = 0.05;
constexpr float kLargest = 65504.0f;  // of f16

float as_f16(float x) { return f16_to_f32(f32_to_f16(x)); }

// A row's quantizers, with scales as they are stored.
struct RowQuantizer {
  float step = 0, low = 0, outer_step = 0;
  int bits = 0;

  int levels() const { return 1 << bits; }
  // A target that is not a number gets the lowest code.
  int inner_code(double c) const {
    if (step == 0) return 0;
    const double t = c / static_cast<double>(step) + levels() / 2;
    return t > 0 ? static_cast<int>(std::min(t, levels() - 1.0)) : 0;
  }
  float inner_level(int code) const { return step * (static_cast<float>(code) - static_cast<float>(levels() - 1) / 2); }
  int outer_code(double size) const {
    if (outer_step == 0) return 0;
    const double t = (size - static_cast<double>(low)) / static_cast<double>(outer_step) + 0.5;
    return t > 0 ? static_cast<int>(std::min(t, levels() / 2 - 1.0)) : 0;
  }
  float outer_level(int code) const { return low + outer_step * static_cast<float>(code); }
};

// A weight's size and what its error costs.
struct Sample {
  double size, cost;
};

// Steps from the range of the weights down to a quarter of it, the best refitted to its codes.
void fit_inner(const std::vector<Sample>& samples, RowQuantizer& q) {
  constexpr int kShrinks = 31;
  constexpr float kSpacing = 0.025f;
  double largest = 0;
  for (const auto& x : samples) largest = std::max(largest, x.size);
  float best_step = 0;
  double least = INFINITY, product = 0, square = 0;
  const auto attempt = [&](float step) {
    q.step = as_f16(step);
    double error = 0, xu = 0, uu = 0;
    for (const auto& x : samples) {
      const double level = static_cast<double>(q.inner_level(q.inner_code(x.size)));
      error += x.cost * (x.size - level) * (x.size - level);
      xu += x.cost * x.size * level, uu += x.cost * level * level;
    }
    if (error < least) least = error, best_step = q.step, product = xu, square = uu;
  };
  const float widest = static_cast<float>(2 * largest / (q.levels() - 1));
  for (int i = 0; i < kShrinks; ++i) attempt(widest * (1 - kSpacing * static_cast<float>(i)));
  if (square > 0) attempt(best_step * static_cast<float>(product / square));
  q.step = best_step;
}

// Levels over the range of sizes, its upper end where it is and lower, each fitted to its codes in turns: a straight
// line through sizes over codes.
void fit_outer(const std::vector<Sample>& samples, RowQuantizer& q) {
  constexpr int kTurns = 8;
  if (samples.empty()) return;
  const auto [lowest, highest] =
      std::minmax_element(samples.begin(), samples.end(), [](const auto& a, const auto& b) { return a.size < b.size; });
  RowQuantizer best = q;
  double least = INFINITY;
  for (const double reach : {1.0, 0.75, 0.5}) {
    double low = lowest->size, step = reach * (highest->size - low) / (q.levels() / 2 - 1);
    for (int turn = 0; turn < kTurns; ++turn) {
      q.low = as_f16(static_cast<float>(std::max(low, 0.0))), q.outer_step = as_f16(static_cast<float>(step));
      double error = 0, sum = 0, x1 = 0, u1 = 0, xu = 0, uu = 0;
      for (const auto& x : samples) {
        const int code = q.outer_code(x.size);
        const double d = x.size - static_cast<double>(q.outer_level(code)), u = code;
        error += x.cost * d * d;
        sum += x.cost, x1 += x.cost * x.size, u1 += x.cost * u, xu += x.cost * x.size * u, uu += x.cost * u * u;
      }
      if (error < least) least = error, best = q;
      const double spread = sum * uu - u1 * u1;
      if (!(spread > 1e-9 * sum * uu)) break;  // all in one level
      step = std::max((sum * xu - x1 * u1) / spread, 0.0), low = (x1 - step * u1) / sum;
    }
  }
  q = best;
}

class IndexCoder {
 public:
  IndexCoder(const Matrix<float>& w, const Hessian::State& hessian, const GridOptions& options,
             const std::string& where)
      : w_(w),
        hessian_(hessian),
        where_(where),
        feedback_(options.method == Method::icquant),
        rows_(static_cast<std::size_t>(w.rows())),
        clipped_(rows_.size()),
        outlier_(w.rows(), w.cols()),
        codes_(w.rows(), w.cols()) {
    out_.rows = w.rows(), out_.cols = w.cols(), out_.bits = static_cast<int>(options.bits);
    out_.outliers = std::lround(kOutlierShare * static_cast<double>(w.cols()));
    columns_ = Matrix<std::int32_t>(w.rows(), out_.outliers);
  }

  QuantizedLayer solve() {
    const auto cost = cost_of_columns(hessian_, feedback_);
    parallel_for(w_.rows(), [&](std::int64_t r) {
      pick_outliers(r);
      fit(r, cost);
    });
    auto out = decide_by_weight(
        w_, hessian_, feedback_, [this](std::int64_t r, std::int64_t j, double c) { return quantize(r, j, c); },
        [this] { return pack(); });
    out.record.bits = out_.bits;
    out.record.clipped_share = clipped_share_;
    return out;
  }

 private:
  // The largest, of equal ones the first.
  void pick_outliers(std::int64_t r) {
    std::vector<std::int32_t> order(static_cast<std::size_t>(w_.cols()));
    std::iota(order.begin(), order.end(), 0);
    const auto end = order.begin() + out_.outliers;
    std::partial_sort(order.begin(), end, order.end(), [&](auto a, auto b) {
      const float x = std::abs(w_(r, a)), y = std::abs(w_(r, b));
      return x > y || (x == y && a < b);
    });
    std::sort(order.begin(), end);
    std::copy(order.begin(), end, columns_.row(r));
    for (auto at = order.begin(); at != end; ++at) outlier_(r, *at) = 1;
  }

  void fit(std::int64_t r, const std::vector<double>& cost) {
    std::vector<Sample> inner, outer;
    for (std::int64_t j = 0; j < w_.cols(); ++j) {
      const double size = std::abs(static_cast<double>(w_(r, j)));
      if (size > static_cast<double>(kLargest)) fail_input(where_, "weight ({}, {}) is {}, beyond f16", r, j, w_(r, j));
      (outlier_(r, j) != 0 ? outer : inner).push_back({size, cost[static_cast<std::size_t>(j)]});
    }
    auto& q = rows_[static_cast<std::size_t>(r)];
    q.bits = out_.bits;
    fit_inner(inner, q);
    fit_outer(outer, q);
  }

  // Levels of either kind are symmetric, so an outlier keeps the sign of its target.
  float quantize(std::int64_t r, std::int64_t j, double c) {
    const auto& q = rows_[static_cast<std::size_t>(r)];
    int code;
    float level;
    if (outlier_(r, j) != 0) {
      code = q.outer_code(std::abs(c)), level = q.outer_level(code);
      clipped_[r] += std::abs(std::abs(c) - static_cast<double>(level)) > static_cast<double>(q.outer_step);
      if (c < 0) code += q.levels() / 2, level = -level;
    } else {
      code = q.inner_code(c), level = q.inner_level(code);
      clipped_[r] += std::abs(c - static_cast<double>(level)) > static_cast<double>(q.step);
    }
    codes_(r, j) = static_cast<std::uint8_t>(code);
    return level;
  }

  QuantizedTensor pack() {
    const auto row_bytes = packed_row_bytes(w_.cols(), out_.bits);
    out_.codes.resize(static_cast<std::size_t>(w_.rows() * row_bytes));
    out_.scales.clear();
    for (std::int64_t r = 0; r < w_.rows(); ++r) {
      const auto& q = rows_[static_cast<std::size_t>(r)];
      pack_row({codes_.row(r), static_cast<std::size_t>(w_.cols())}, out_.bits, out_.codes.data() + r * row_bytes);
      out_.scales.push_back({f32_to_f16(q.step), f32_to_f16(q.low), f32_to_f16(q.outer_step)});
    }
    clipped_share_ = static_cast<double>(std::accumulate(clipped_.begin(), clipped_.end(), std::int64_t{0})) /
                     static_cast<double>(w_.size());
    std::fill(clipped_.begin(), clipped_.end(), 0);
    out_.gaps.emplace(encode_gaps(columns_.view()), w_.rows(), w_.cols(), out_.outliers, where_);
    return out_;
  }

  const Matrix<float>& w_;
  const Hessian::State& hessian_;
  const std::string& where_;
  const bool feedback_;
  std::vector<RowQuantizer> rows_;
  std::vector<std::int64_t> clipped_;     // codes of each row
  Matrix<std::uint8_t> outlier_, codes_;  // 1 for outliers
  Matrix<std::int32_t> columns_;          // of the outliers of each row
  SplitTensor out_;
  double clipped_share_ = 0;
};

}  // namespace

QuantizedLayer quantize_icquant(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                                const std::string& where) {
  check_search(options, where);
  check_weights(w, hessian.gram().cols(), where);
  return IndexCoder(w, hessian.state(), options, where).solve();
}

}  // namespace nearplane
