#include "quant/block_scales.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr int kRounds = 5;
constexpr int kShrinks = 15;  // steps tried for a sub-block, relative to its range / that of the levels
constexpr float kNarrowest = 0.5f, kSpacing = 0.05f;

float nearest_level(const BlockLayout& layout, float x) {
  return static_cast<float>(layout.levels[static_cast<std::size_t>(nearest_code(layout, x))]);
}

// What a step and a least value are, real numbers: weights are step * level - least.
struct Affine {
  float step = 0, least = 0;
};

// Sums of a fit w = a x - b y under the costs.
struct Sums {
  double xx = 0, xy = 0, yy = 0, xw = 0, yw = 0;

  void add(double cost, double x, double y, double w) {
    xx += cost * x * x, xy += cost * x * y, yy += cost * y * y;
    xw += cost * x * w, yw += cost * y * w;
  }
  /// The best a and b >= 0; `old` where the sums do not say.
  Affine fit(Affine old) const {
    const double determinant = xx * yy - xy * xy;
    if (determinant > 1e-9 * xx * yy) {
      const double a = (xw * yy - yw * xy) / determinant, b = (xw * xy - yw * xx) / determinant;
      if (b >= 0) return {static_cast<float>(a), static_cast<float>(b)};
    }
    return xx > 0 ? Affine{static_cast<float>(xw / xx), 0} : old;
  }
};

class BlockSearch {
 public:
  BlockSearch(const BlockLayout& layout, const float* w, const float* cost) : layout_(layout), w_(w), cost_(cost) {}

  BlockParts choose() {
    for (int s = 0; s < layout_.subs(); ++s) search(s);
    Affine super = largest();
    BlockParts best;
    double least_error = std::numeric_limits<double>::infinity();
    for (int round = 0; round < kRounds; ++round) {
      BlockParts parts;
      parts.d = f32_to_f16(super.step), parts.dmin = f32_to_f16(super.least);
      super = {f16_to_f32(parts.d), f16_to_f32(parts.dmin)};
      if (!std::isfinite(super.step) || !std::isfinite(super.least)) return round == 0 ? parts : best;
      double error = 0;
      for (int s = 0; s < layout_.subs(); ++s) error += choose_numbers(s, super, parts);
      if (!(error < least_error)) break;
      least_error = error, best = parts;
      super = refit(super, parts);
    }
    return best;
  }

 private:
  bool has_minimums() const { return layout_.largest_minimum > 0; }

  double error(int s, Affine a) const {
    const float inverse = a.step != 0 ? 1 / a.step : 0;
    float sum = 0;
    for (int j = s * layout_.sub; j < (s + 1) * layout_.sub; ++j) {
      const float d = w_[j] + a.least - a.step * nearest_level(layout_, (w_[j] + a.least) * inverse);
      sum += cost_[j] * d * d;
    }
    return sum;
  }

  // Sums over sub-block s for the levels that `a` gives, times x and y.
  void add_sums(int s, Affine a, double x, double y, Sums& sums) const {
    const float inverse = a.step != 0 ? 1 / a.step : 0;
    for (int j = s * layout_.sub; j < (s + 1) * layout_.sub; ++j)
      sums.add(cost_[j], x * nearest_level(layout_, (w_[j] + a.least) * inverse), y, w_[j]);
  }

  // The step and minimum that a sub-block would have if they could be any numbers.
  void search(int s) {
    const auto [low, high] = std::minmax_element(w_ + s * layout_.sub, w_ + (s + 1) * layout_.sub);
    const float lo = std::min(0.0f, *low), hi = std::max(0.0f, *high), size = std::max(-lo, hi);
    auto& best = own_[static_cast<std::size_t>(s)];
    best = {};
    double least_error = error(s, best);
    const auto keep_better = [&](Affine a) {
      const double e = error(s, a);
      if (e < least_error) least_error = e, best = a;
    };
    const auto bottom = static_cast<float>(layout_.levels.front()), top = static_cast<float>(layout_.levels.back());
    for (int i = 0; i < kShrinks; ++i) {
      const float factor = kNarrowest + kSpacing * static_cast<float>(i);
      if (has_minimums()) {
        const float step = factor * (hi - lo) / top;
        keep_better({step, -lo});
        keep_better({step, std::max(0.0f, (step * top - lo - hi) / 2)});
      } else {
        keep_better({factor * size / bottom, 0});
        keep_better({-factor * size / bottom, 0});
      }
    }
    for (int repeat = 0; repeat < 2; ++repeat) {
      Sums sums;
      add_sums(s, best, 1, has_minimums() ? 1 : 0, sums);
      keep_better(sums.fit(best));
    }
  }

  // d and dmin with which the largest step and minimum are the largest whole numbers.
  Affine largest() const {
    Affine most;
    for (int s = 0; s < layout_.subs(); ++s) {
      const auto& own = own_[static_cast<std::size_t>(s)];
      if (std::abs(own.step) > std::abs(most.step)) most.step = own.step;
      most.least = std::max(most.least, own.least);
    }
    const int scale = layout_.least_scale < 0 ? layout_.least_scale : layout_.largest_scale;
    return {most.step / static_cast<float>(scale),
            has_minimums() ? most.least / static_cast<float>(layout_.largest_minimum) : 0};
  }

  // The whole numbers of a sub-block for given d and dmin; returns its error.
  double choose_numbers(int s, Affine super, BlockParts& parts) const {
    constexpr int kAround = 2;
    const auto& own = own_[static_cast<std::size_t>(s)];
    const int middle = nearest_whole(own.step, super.step, layout_.least_scale, layout_.largest_scale);
    double least_error = std::numeric_limits<double>::infinity();
    const int first = std::max(layout_.least_scale, middle - kAround),
              last = std::min(layout_.largest_scale, middle + kAround);
    for (int scale = first; scale <= last; ++scale) {
      const float step = super.step * static_cast<float>(scale);
      const int minimum = best_minimum(s, {step, own.least}, super.least);
      for (int u = std::max(0, minimum - 1); u <= std::min(layout_.largest_minimum, minimum + 1); ++u) {
        const double e = error(s, {step, super.least * static_cast<float>(u)});
        if (!(e < least_error)) continue;
        least_error = e;
        parts.scales[static_cast<std::size_t>(s)] = static_cast<std::int16_t>(scale);
        parts.minimums[static_cast<std::size_t>(s)] = static_cast<std::int16_t>(u);
      }
    }
    return least_error;
  }

  // u for the levels that `a` gives.
  int best_minimum(int s, Affine a, float dmin) const {
    if (!has_minimums()) return 0;
    Sums sums;
    add_sums(s, a, 1, 1, sums);
    const auto least = static_cast<float>((static_cast<double>(a.step) * sums.xy - sums.yw) / sums.yy);
    return nearest_whole(least, dmin, 0, layout_.largest_minimum);
  }

  static int nearest_whole(float x, float unit, int lowest, int highest) {
    if (unit == 0) return std::clamp(0, lowest, highest);
    return static_cast<int>(
        std::clamp(std::nearbyint(x / unit), static_cast<float>(lowest), static_cast<float>(highest)));
  }

  // d and dmin for the levels and whole numbers of `parts`.
  Affine refit(Affine super, const BlockParts& parts) const {
    Sums sums;
    for (int s = 0; s < layout_.subs(); ++s) {
      const auto scale = static_cast<float>(parts.scales[static_cast<std::size_t>(s)]),
                 minimum = static_cast<float>(parts.minimums[static_cast<std::size_t>(s)]);
      add_sums(s, {super.step * scale, super.least * minimum}, scale, minimum, sums);
    }
    return sums.fit(super);
  }

  const BlockLayout& layout_;
  const float *w_, *cost_;
  std::array<Affine, kMostSubBlocks> own_;
};

}  // namespace

int nearest_code(const BlockLayout& layout, float x) {
  const int last = static_cast<int>(layout.levels.size()) - 1;
  if (layout.uniform) {
    constexpr float kWhole = 0x1.8p23f;  // added and taken away again: rounded to whole numbers
    const float t = x - static_cast<float>(layout.levels.front());
    return t > 0 ? static_cast<int>(std::min(t, static_cast<float>(last)) + kWhole - kWhole) : 0;
  }
  int code = 0;
  while (code < last && 2 * x > static_cast<float>(layout.levels[static_cast<std::size_t>(code)] +
                                                   layout.levels[static_cast<std::size_t>(code) + 1]))
    ++code;
  return code;
}

BlockParts choose_block(const BlockLayout& layout, const float* w, const float* cost) {
  return BlockSearch(layout, w, cost).choose();
}

}  // namespace nearplane
