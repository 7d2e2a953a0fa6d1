#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace nearplane {
namespace {

double slowed(double frequency, const RopeScaling& s) {
  if (s.kind == RopeScaling::Kind::none) return frequency;
  if (s.kind == RopeScaling::Kind::linear) return frequency / s.factor;
  const double turns = static_cast<double>(s.original_max_position) * frequency / (2 * std::numbers::pi);
  const double keep = std::clamp((turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor), 0.0, 1.0);
  return frequency * ((1 - keep) / s.factor + keep);
}

}  // namespace

std::vector<double> rope_frequencies(std::int64_t head_dim, double theta, const RopeScaling& scaling) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < head_dim / 2; ++i)
    out.push_back(slowed(std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim)), scaling));
  return out;
}

}  // namespace nearplane
