#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

Token largest(std::span<const float> logits) {
  return static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

std::vector<double> softmax_weights(std::span<const float> logits, double temperature) {
  const auto best = static_cast<double>(logits[static_cast<std::size_t>(largest(logits))]);
  std::vector<double> weights(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i)
    weights[i] = std::exp((static_cast<double>(logits[i]) - best) / temperature);
  return weights;
}

Token draw(std::span<const double> weights, Rng& rng) {
  std::vector<double> cumulative(weights.size());
  std::partial_sum(weights.begin(), weights.end(), cumulative.begin());
  const double sum = cumulative.back();
  auto drawn = std::upper_bound(cumulative.begin(), cumulative.end(), rng.uniform() * sum);
  // The product can round up to the sum; the last token that adds to it is the one meant.
  if (drawn == cumulative.end()) drawn = std::lower_bound(cumulative.begin(), cumulative.end(), sum);
  return static_cast<Token>(drawn - cumulative.begin());
}

// The logits after the penalty, checked: no order of tokens is defined with NaNs among them.
std::vector<float> penalized(std::span<const float> logits, double penalty, std::span<const Token> seen) {
  std::vector<float> out(logits.begin(), logits.end());
  constexpr float kMost = std::numeric_limits<float>::max();
  if (std::ranges::any_of(out, [](float logit) { return !(logit <= kMost); }))
    throw Error(ErrorCode::numerical, "the model's output is not finite");
  if (penalty == 1) return out;
  for (const Token id : seen) {
    const auto i = static_cast<std::size_t>(id);
    const auto logit = static_cast<double>(logits[i]);  // the original: a token that occurs twice is penalized once
    const double changed = logit > 0 ? logit / penalty : logit * penalty;
    out[i] = static_cast<float>(std::clamp<double>(changed, -kMost, kMost));
  }
  return out;
}

// Tokens by falling weight, smaller ids first among equals.
struct ByWeight {
  std::span<const double> weights;
  bool operator()(std::size_t a, std::size_t b) const {
    return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
  }
};

void keep_top_k(std::vector<double>& weights, std::int64_t k) {
  if (k == 0 || k >= std::ssize(weights)) return;
  std::vector<std::size_t> ids(weights.size());
  std::iota(ids.begin(), ids.end(), std::size_t{0});
  std::nth_element(ids.begin(), ids.begin() + k, ids.end(), ByWeight{weights});
  for (auto it = ids.begin() + k; it != ids.end(); ++it) weights[*it] = 0;
}

void keep_top_p(std::vector<double>& weights, double p) {
  if (p == 1) return;
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  // All tokens below this weight together are less than 1 - p: the others reach p without them, and need no company in
  // the sort. Half of it, so that rounding cannot decide.
  const double small = 0.5 * (1 - p) * sum / static_cast<double>(weights.size());
  std::vector<std::size_t> ids;
  for (std::size_t i = 0; i < weights.size(); ++i)
    if (weights[i] >= small) ids.push_back(i);
  std::sort(ids.begin(), ids.end(), ByWeight{weights});
  std::vector<double> kept(weights.size());
  double reached = 0;
  for (const auto i : ids) {
    if (reached >= p * sum) break;
    reached += kept[i] = weights[i];
  }
  weights = std::move(kept);
}

void keep_min_p(std::vector<double>& weights, double p) {
  const double least = p * *std::ranges::max_element(weights);
  for (auto& weight : weights)
    if (weight < least) weight = 0;
}

void require(bool in_range, const char* option, auto value, const char* range) {
  if (!in_range) fail_input(option, "{} is not {}", value, range);
}

}  // namespace

void check_options(const GenerateOptions& options) {
  require(options.tokens > 0, "tokens", options.tokens, "a positive number of tokens");
  require(options.temperature >= 0 && std::isfinite(options.temperature), "temperature", options.temperature,
          "0 or a positive number");
  require(options.top_k >= 0, "top-k", options.top_k, "0 (all) or a positive number of tokens");
  require(options.top_p > 0 && options.top_p <= 1, "top-p", options.top_p, "above 0 and at most 1");
  require(options.min_p >= 0 && options.min_p <= 1, "min-p", options.min_p, "between 0 and 1");
  require(options.repetition_penalty > 0 && std::isfinite(options.repetition_penalty), "repetition-penalty",
          options.repetition_penalty, "a positive number");
  for (const auto& text : options.stop) {
    if (text.empty()) fail_input("stop", "an empty text would end every text before it begins");
    if (find_invalid_utf8(text) != text.npos) fail_input("stop", "the text is not valid UTF-8");
  }
}

Token sample(std::span<const float> logits, double temperature, Rng& rng) {
  return temperature <= 0 ? largest(logits) : draw(softmax_weights(logits, temperature), rng);
}

std::vector<double> token_weights(std::span<const float> logits, const GenerateOptions& options,
                                  std::span<const Token> seen) {
  auto weights = softmax_weights(penalized(logits, options.repetition_penalty, seen), options.temperature);
  keep_top_k(weights, options.top_k);
  keep_top_p(weights, options.top_p);
  keep_min_p(weights, options.min_p);
  return weights;
}

Token sample(std::span<const float> logits, const GenerateOptions& options, std::span<const Token> seen, Rng& rng) {
  if (options.temperature == 0) return largest(penalized(logits, options.repetition_penalty, seen));
  return draw(token_weights(logits, options, seen), rng);
}

}  // namespace nearplane
