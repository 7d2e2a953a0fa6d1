#include "transformer/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "base/threads.h"

namespace nearplane {
namespace {

ModelConfig make_config(std::int64_t heads, std::int64_t kv_heads, std::int64_t head_dim, std::int64_t window) {
  ModelConfig config;
  config.heads = heads, config.kv_heads = kv_heads, config.head_dim = head_dim, config.sliding_window = window;
  return config;
}

Matrix<float> random_matrix(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Rng rng(seed);
  Matrix<float> out(rows, cols);
  for (auto& v : out.span()) v = static_cast<float>(2 * rng.normal());
  return out;
}

// One head of one query by the definition, in double.
std::vector<double> reference(const ModelConfig& c, const AttentionSequence& s, const Matrix<float>& q, std::int64_t i,
                              std::int64_t head) {
  const auto position = s.start + i, kv = head / (c.heads / c.kv_heads) * c.head_dim;
  const auto first = c.sliding_window > 0 ? std::max<std::int64_t>(0, position - c.sliding_window + 1) : 0;
  std::vector<double> score, out(static_cast<std::size_t>(c.head_dim));
  for (auto u = first; u <= position; ++u) {
    double sum = 0;
    for (std::int64_t d = 0; d < c.head_dim; ++d)
      sum += static_cast<double>(q(s.first + i, head * c.head_dim + d)) * s.keys(u, kv + d);
    score.push_back(sum / std::sqrt(static_cast<double>(c.head_dim)));
  }
  const double top = *std::ranges::max_element(score);
  double total = 0;
  for (auto& v : score) total += v = std::exp(v - top);
  for (std::size_t u = 0; u < score.size(); ++u)
    for (std::size_t d = 0; d < out.size(); ++d)
      out[d] += score[u] / total * s.values(first + static_cast<std::int64_t>(u), kv + static_cast<std::int64_t>(d));
  return out;
}

void expect_equals_reference(const ModelConfig& config, std::span<const AttentionSequence> sequences,
                             const Matrix<float>& q) {
  Matrix<float> a(q.rows(), q.cols());
  causal_attention(config, sequences, q.view(), a.view());
  double worst = 0;
  for (const auto& s : sequences)
    for (std::int64_t i = 0; i < s.count; ++i)
      for (std::int64_t h = 0; h < config.heads; ++h) {
        const auto expected = reference(config, s, q, i, h);
        for (std::int64_t d = 0; d < config.head_dim; ++d)
          worst = std::max(worst,
                           std::abs(a(s.first + i, h * config.head_dim + d) - expected[static_cast<std::size_t>(d)]));
      }
  EXPECT_LT(worst, 2e-5) << "of values of size 2";
}

// Lengths around the tile sizes (64 queries, 256 keys), windows that start inside and between key blocks.
TEST(Attention, EqualsTheDefinition) {
  for (const std::int64_t window : {0, 1, 5, 64, 100, 300})
    for (const std::int64_t length : {1, 63, 64, 65, 257, 330}) {
      SCOPED_TRACE(testing::Message() << "window " << window << " length " << length);
      const auto config = make_config(6, 2, 12, window);
      const auto q = random_matrix(length, 72, 1), k = random_matrix(length, 24, 2), v = random_matrix(length, 24, 3);
      const AttentionSequence sequence{0, length, 0, k.view(), v.view()};
      expect_equals_reference(config, {&sequence, 1}, q);
    }
}

TEST(Attention, SequencesThatContinueDoNotMix) {
  const auto config = make_config(2, 2, 8, 70);
  const auto q = random_matrix(3 + 80 + 1, 16, 1);
  const auto k = random_matrix(600, 16, 2), v = random_matrix(600, 16, 3);
  const std::vector<AttentionSequence> sequences{
      {0, 3, 300, k.view().rows_at(0, 303), v.view().rows_at(0, 303)},
      {3, 80, 0, k.view().rows_at(303, 80), v.view().rows_at(303, 80)},
      {83, 1, 200, k.view().rows_at(390, 210), v.view().rows_at(390, 210)},  // a cache with room left
  };
  expect_equals_reference(config, sequences, q);
}

TEST(Attention, LargeScoresStayFinite) {
  const auto config = make_config(1, 1, 4, 0);
  auto q = random_matrix(300, 4, 1), k = random_matrix(300, 4, 2);
  const auto v = random_matrix(300, 4, 3);
  for (auto& x : q.span()) x *= 100;
  for (std::int64_t t = 0; t < 300; ++t)
    for (std::int64_t d = 0; d < 4; ++d) k(t, d) *= static_cast<float>(t);  // the maximum keeps rising
  const AttentionSequence sequence{0, 300, 0, k.view(), v.view()};
  Matrix<float> a(300, 4);
  causal_attention(config, {&sequence, 1}, q.view(), a.view());
  for (const auto x : a.span()) ASSERT_TRUE(std::isfinite(x));
}

TEST(Attention, NanReachesTheOutput) {
  const auto config = make_config(1, 1, 4, 0);
  const auto q = random_matrix(20, 4, 1), v = random_matrix(20, 4, 3);
  auto k = random_matrix(20, 4, 2);
  k(10, 2) = std::nanf("");
  const AttentionSequence sequence{0, 20, 0, k.view(), v.view()};
  Matrix<float> a(20, 4);
  causal_attention(config, {&sequence, 1}, q.view(), a.view());
  EXPECT_TRUE(std::isfinite(a(9, 0)));
  EXPECT_TRUE(std::isnan(a(10, 0)));
  EXPECT_TRUE(std::isnan(a(19, 0)));
}

}  // namespace
}  // namespace nearplane
