#include "eval/score.h"

#include <algorithm>
#include <cmath>

namespace nearplane {
namespace {

struct Softmax {
  std::ptrdiff_t argmax;
  double max, log_sum;  // log p_i = logit_i - max - log_sum
};

Softmax softmax_of(std::span<const float> logits) {
  const auto best = std::max_element(logits.begin(), logits.end());
  const double max = *best;
  double sum = 0;
  for (const float v : logits) sum += static_cast<double>(std::exp(v - *best));
  return {best - logits.begin(), max, std::log(sum)};
}

}  // namespace

TokenScore score_token(std::span<const float> logits, std::span<const float> reference, Token label) {
  const auto at = static_cast<std::size_t>(label);
  const auto q = softmax_of(logits);
  TokenScore score;
  score.nll = q.log_sum - (static_cast<double>(logits[at]) - q.max);
  if (reference.empty()) return score;
  const auto p = softmax_of(reference);
  score.reference_nll = p.log_sum - (static_cast<double>(reference[at]) - p.max);
  // KL = sum p_i (a_i - b_i) + (log Z_q - log Z_p), a and b the shifted logits
  double weighted = 0;
  const auto p_max = static_cast<float>(p.max);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float a = reference[i] - p_max;
    weighted += static_cast<double>(std::exp(a)) *
                ((static_cast<double>(reference[i]) - p.max) - (static_cast<double>(logits[i]) - q.max));
  }
  score.kl = std::max(0.0, weighted * std::exp(-p.log_sum) + q.log_sum - p.log_sum);
  score.same_top1 = p.argmax == q.argmax;
  return score;
}

}  // namespace nearplane
