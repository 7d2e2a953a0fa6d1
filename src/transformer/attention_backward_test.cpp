#include "transformer/attention_backward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "base/threads.h"
#include "derivative.h"
#include "transformer/attention.h"

namespace nearplane {
namespace {

ModelConfig make_config(std::int64_t window) {
  ModelConfig config;
  config.heads = 6, config.kv_heads = 2, config.head_dim = 4, config.sliding_window = window;
  return config;
}

Matrix<float> random_matrix(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Rng rng(seed);
  Matrix<float> out(rows, cols);
  for (auto& v : out.span()) v = static_cast<float>(1.5 * rng.normal());
  return out;
}

// One sequence in double, and the loss sum da . a by the definition.
struct Reference {
  ModelConfig config;
  Matrix<double> q, k, v, da;

  static Matrix<double> wide(MatrixView<const float> x) {
    Matrix<double> out(x.rows, x.cols);
    for (std::int64_t r = 0; r < x.rows; ++r) std::copy_n(x.row(r), x.cols, out.row(r));
    return out;
  }

  double loss() const {
    double sum = 0;
    for (std::int64_t t = 0; t < q.rows(); ++t)
      for (std::int64_t h = 0; h < config.heads; ++h) sum += loss(t, h);
    return sum;
  }
  double loss(std::int64_t t, std::int64_t head) const {
    const auto dim = config.head_dim, c = head * dim, kv = head / (config.heads / config.kv_heads) * dim;
    const auto first = config.sliding_window > 0 ? std::max<std::int64_t>(0, t - config.sliding_window + 1) : 0;
    double weights = 0, sum = 0;
    for (auto u = first; u <= t; ++u) {
      double score = 0, value = 0;
      for (std::int64_t d = 0; d < dim; ++d) score += q(t, c + d) * k(u, kv + d), value += da(t, c + d) * v(u, kv + d);
      const double p = std::exp(score / std::sqrt(static_cast<double>(dim)));
      weights += p, sum += p * value;
    }
    return sum / weights;
  }
};

struct Gradients {
  Matrix<float> q, k, v;
};

Gradients backward(const ModelConfig& config, std::span<const std::int64_t> lengths, const Matrix<float>& q,
                   const Matrix<float>& k, const Matrix<float>& v, const Matrix<float>& da) {
  std::vector<AttentionSequence> sequences;
  std::int64_t t0 = 0;
  for (const auto length : lengths) {
    sequences.push_back({t0, length, 0, k.view().rows_at(t0, length), v.view().rows_at(t0, length)});
    t0 += length;
  }
  Matrix<float> a(q.rows(), q.cols()), log_sums(q.rows(), config.heads);
  causal_attention(config, sequences, q.view(), a.view(), log_sums.view());
  Gradients d{Matrix<float>::uninitialized(q.rows(), q.cols()), Matrix<float>::uninitialized(k.rows(), k.cols()),
              Matrix<float>::uninitialized(v.rows(), v.cols())};
  causal_attention_backward(config, lengths, {q.view(), k.view(), v.view(), a.view(), log_sums.view()}, da.view(),
                            d.q.view(), d.k.view(), d.v.view());
  return d;
}

// A few entries of each gradient of the last sequence against finite differences.
void expect_derivatives(std::int64_t window, const std::vector<std::int64_t>& lengths) {
  SCOPED_TRACE(testing::Message() << "window " << window << " length " << lengths.back());
  const auto config = make_config(window);
  std::int64_t total = 0;
  for (const auto length : lengths) total += length;
  const auto q = random_matrix(total, 24, 1), k = random_matrix(total, 8, 2), v = random_matrix(total, 8, 3);
  const auto da = random_matrix(total, 24, 4);
  const auto d = backward(config, lengths, q, k, v, da);
  const auto length = lengths.back(), first = total - length;
  const auto part = [&](const Matrix<float>& x) { return Reference::wide(x.view().rows_at(first, length)); };
  Reference reference{config, part(q), part(k), part(v), part(da)};
  Rng rng(5);
  const auto check = [&](Matrix<double>& x, const Matrix<float>& dx, const char* name) {
    for (int i = 0; i < 6; ++i) {
      const auto t = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(length)));
      const auto c = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(x.cols())));
      const double expected = derivative([&] { return reference.loss(); }, x(t, c));
      EXPECT_NEAR(dx(first + t, c), expected, 2e-5 * (1 + std::abs(expected))) << name << " " << t << " " << c;
    }
  };
  check(reference.q, d.q, "dq");
  check(reference.k, d.k, "dk");
  check(reference.v, d.v, "dv");
}

// Lengths around the tile sizes (64 queries, 256 keys), windows that start inside and between key blocks.
TEST(AttentionBackward, IsTheDerivative) {
  for (const std::int64_t window : {0, 1, 5, 100, 300})
    for (const std::int64_t length : {1, 64, 65, 330}) expect_derivatives(window, {length});
}

TEST(AttentionBackward, SequencesDoNotMix) { expect_derivatives(7, {30, 70, 40}); }

TEST(AttentionBackward, SameBitsForAnyNumberOfThreads) {
  const auto config = make_config(0);
  const std::vector<std::int64_t> lengths{100, 300};
  const auto q = random_matrix(400, 24, 1), k = random_matrix(400, 8, 2), v = random_matrix(400, 8, 3);
  const auto da = random_matrix(400, 24, 4);
  set_thread_count(1);
  const auto one = backward(config, lengths, q, k, v, da);
  set_thread_count(3);
  const auto many = backward(config, lengths, q, k, v, da);
  set_thread_count(0);
  EXPECT_TRUE(std::ranges::equal(one.q.span(), many.q.span()));
  EXPECT_TRUE(std::ranges::equal(one.k.span(), many.k.span()));
  EXPECT_TRUE(std::ranges::equal(one.v.span(), many.v.span()));
}

TEST(AttentionBackward, NanReachesTheGradients) {
  const auto config = make_config(0);
  const std::vector<std::int64_t> lengths{20};
  const auto q = random_matrix(20, 24, 1), v = random_matrix(20, 8, 3), da = random_matrix(20, 24, 4);
  auto k = random_matrix(20, 8, 2);
  k(10, 2) = std::nanf("");
  const auto d = backward(config, lengths, q, k, v, da);
  EXPECT_TRUE(std::isfinite(d.q(9, 0)));
  EXPECT_TRUE(std::isnan(d.q(10, 0)));
  EXPECT_TRUE(std::isnan(d.k(10, 2)));
}

}  // namespace
}  // namespace nearplane
