#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace nearplane {

Token sample(std::span<const float> logits, double temperature, Rng& rng) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (temperature <= 0) return static_cast<Token>(best - logits.begin());
  std::vector<double> cumulative(logits.size());
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i)
    cumulative[i] = sum += std::exp((static_cast<double>(logits[i]) - static_cast<double>(*best)) / temperature);
  const auto drawn = std::upper_bound(cumulative.begin(), cumulative.end(), rng.uniform() * sum);
  return static_cast<Token>(std::min<std::ptrdiff_t>(drawn - cumulative.begin(), std::ssize(logits) - 1));
}

}  // namespace nearplane
