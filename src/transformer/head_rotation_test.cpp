#include "transformer/head_rotation.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "derivative.h"
#include "model/rope.h"

namespace nearplane {
namespace {

constexpr std::int64_t kTokens = 5, kHeads = 3, kDim = 12;

ModelConfig make_config() {
  ModelConfig config;
  config.head_dim = kDim, config.rms_eps = 1e-3;
  return config;
}

Matrix<float> random_matrix(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Rng rng(seed);
  Matrix<float> out(rows, cols);
  for (auto& v : out.span()) v = static_cast<float>(rng.normal());
  return out;
}

// Norm and rotation of one head by the definition, in double, times c.
double loss_of(const std::vector<double>& x, std::span<const float> norm, std::int64_t position, const float* c) {
  const auto config = make_config();
  const auto frequencies = rope_frequencies(kDim, config.rope_theta, config.rope_scaling);
  double squares = 0, loss = 0;
  for (const double v : x) squares += v * v;
  const double r = norm.empty() ? 1 : 1 / std::sqrt(squares / kDim + config.rms_eps);
  const auto at = [&](std::size_t i) { return x[i] * r * (norm.empty() ? 1 : norm[i]); };
  for (std::size_t i = 0, j = kDim / 2; i < kDim / 2; ++i, ++j) {
    const double angle = static_cast<double>(position) * frequencies[i];
    loss += c[i] * (at(i) * std::cos(angle) - at(j) * std::sin(angle));
    loss += c[j] * (at(j) * std::cos(angle) + at(i) * std::sin(angle));
  }
  return loss;
}

TEST(HeadRotation, BackwardIsTheDerivative) {
  const auto x = random_matrix(kTokens, kHeads * kDim, 1), c = random_matrix(kTokens, kHeads * kDim, 2);
  const std::vector<std::int64_t> positions{7, 8, 900, 0, 1};
  for (const auto& norm : {Matrix<float>(), random_matrix(1, kDim, 3)}) {
    auto d = c.clone();
    HeadRotation(make_config(), positions).apply_backward(norm.span(), x.view(), d.view());
    for (std::int64_t t = 0; t < kTokens; ++t)
      for (std::int64_t i = 0; i < x.cols(); ++i) {
        const auto first = i / kDim * kDim;
        std::vector<double> head(x.row(t) + first, x.row(t) + first + kDim);
        const auto loss = [&] {
          return loss_of(head, norm.span(), positions[static_cast<std::size_t>(t)], c.row(t) + first);
        };
        EXPECT_NEAR(d(t, i), derivative(loss, head[static_cast<std::size_t>(i % kDim)]), 2e-6) << t << " " << i;
      }
  }
}

TEST(HeadRotation, BackwardUndoesARotation) {
  const HeadRotation rotation(make_config(), {3, 4, 5000, 1, 0});
  const auto source = random_matrix(kTokens, kHeads * kDim, 1);
  auto x = source.clone();
  rotation.apply({}, x.view());
  EXPECT_GT(std::abs(x(2, 0) - source(2, 0)), 1e-3);
  rotation.apply_backward({}, {}, x.view());
  for (std::int64_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x.data()[i], source.data()[i], 1e-6);
}

}  // namespace
}  // namespace nearplane
