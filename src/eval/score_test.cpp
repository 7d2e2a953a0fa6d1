#include "eval/score.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"

namespace nearplane {
namespace {

TEST(Score, KnownValues) {
  // q = (1/2, 1/4, 1/4), p = (1/4, 1/2, 1/4), both with shifted logits
  const std::vector<float> q{std::log(2.0f) + 5, 5, 5}, p{-3, std::log(2.0f) - 3, -3};
  const auto score = score_token(q, p, 1);
  EXPECT_NEAR(score.nll, std::log(4.0), 1e-6);
  EXPECT_NEAR(score.reference_nll, std::log(2.0), 1e-6);
  EXPECT_NEAR(score.kl, 0.25 * std::log(0.5) + 0.5 * std::log(2.0), 1e-6);
  EXPECT_FALSE(score.same_top1);
}

TEST(Score, EqualLogitsHaveNoDistance) {
  std::vector<float> logits(50000);
  Rng rng(1);
  for (auto& v : logits) v = static_cast<float>(8 * rng.normal());
  const auto score = score_token(logits, logits, 7);
  EXPECT_NEAR(score.kl, 0, 1e-7);
  EXPECT_TRUE(score.same_top1);
  EXPECT_DOUBLE_EQ(score.nll, score.reference_nll);
}

TEST(Score, AgreesWithDoubleArithmetic) {
  Rng rng(2);
  std::vector<float> q(1000), p(1000);
  for (std::size_t i = 0; i < q.size(); ++i) {
    p[i] = static_cast<float>(6 * rng.normal());
    q[i] = p[i] + static_cast<float>(rng.normal());
  }
  double zp = 0, zq = 0, kl = 0;
  for (std::size_t i = 0; i < q.size(); ++i) zp += std::exp(double{p[i]}), zq += std::exp(double{q[i]});
  for (std::size_t i = 0; i < q.size(); ++i)
    kl += std::exp(double{p[i]}) / zp * (double{p[i]} - std::log(zp) - double{q[i]} + std::log(zq));
  const auto score = score_token(q, p, 3);
  EXPECT_NEAR(score.kl, kl, 1e-6 * kl);
  EXPECT_NEAR(score.nll, std::log(zq) - double{q[3]}, 1e-6);
}

}  // namespace
}  // namespace nearplane
