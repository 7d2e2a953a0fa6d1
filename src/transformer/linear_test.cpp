#include "transformer/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "base/threads.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

class PlainRows : public WeightRows {
 public:
  PlainRows(std::int64_t rows, std::int64_t cols) : values_(rows, cols) {
    Rng rng(7);
    for (auto& v : values_.span()) v = static_cast<float>(rng.normal());
  }
  std::int64_t rows() const override { return values_.rows(); }
  std::int64_t cols() const override { return values_.cols(); }
  void decode(std::int64_t r0, std::int64_t count, float* out) const override {
    ASSERT_LE(r0 + count, rows());
    std::copy_n(values_.row(r0), count * cols(), out);
  }
  const Matrix<float>& values() const { return values_; }

 private:
  Matrix<float> values_;
};

Matrix<float> inputs(std::int64_t tokens, std::int64_t n) {
  Rng rng(8);
  Matrix<float> x(tokens, n);
  for (auto& v : x.span()) v = static_cast<float>(rng.normal());
  return x;
}

float as_seen(float v, Compute compute) { return compute == Compute::bf16 ? bf16_to_f32(f32_to_bf16(v)) : v; }

// y against the definition in double; the tolerance is that of f32 sums, so bf16 must round its inputs and only them.
void expect_linear(std::int64_t m, std::int64_t n, std::int64_t tokens, bool with_bias, Compute compute) {
  SCOPED_TRACE(testing::Message() << m << " x " << n << ", " << tokens << " tokens");
  const auto weights = std::make_shared<PlainRows>(m, n);
  std::vector<float> bias;
  for (std::int64_t r = 0; with_bias && r < m; ++r) bias.push_back(static_cast<float>(r) + 0.1f);
  const auto linear = make_linear(weights, bias, compute);
  const auto x = inputs(tokens, n);
  Matrix<float> y(tokens, m + 3);  // rows of a wider matrix
  std::ranges::fill(y.span(), 77.0f);
  linear->apply(x.view(), y.view().block(0, 0, tokens, m));
  double worst = 0;
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t r = 0; r < m; ++r) {
      double expected = with_bias ? static_cast<double>(bias[static_cast<std::size_t>(r)]) : 0;
      for (std::int64_t j = 0; j < n; ++j)
        expected += static_cast<double>(as_seen(x(t, j), compute)) * as_seen(weights->values()(r, j), compute);
      worst = std::max(worst, std::abs(y(t, r) - expected) / (1 + std::abs(expected)));
    }
  EXPECT_LT(worst, 2e-6 * std::sqrt(static_cast<double>(n)));
  for (std::int64_t t = 0; t < tokens; ++t) EXPECT_EQ(y(t, m), 77.0f);
}

TEST(Linear, EqualsTheDefinition) {
  for (const auto compute : {Compute::f32, Compute::bf16})
    for (const std::int64_t tokens : {1, 8, 9, 70, 300})
      for (const std::int64_t m : {1, 33, 200}) expect_linear(m, 48, tokens, m == 33, compute);
}

TEST(Linear, SeveralPanels) {
  expect_linear(700, 16384, 9, true, Compute::f32);  // a panel holds 256 such rows
  expect_linear(300, 16384, 9, true, Compute::bf16);
}

// dx += W^T dy against the definition in double.
void expect_transposed(std::int64_t m, std::int64_t n, std::int64_t tokens, Compute compute) {
  SCOPED_TRACE(testing::Message() << m << " x " << n << ", " << tokens << " tokens");
  const auto weights = std::make_shared<PlainRows>(m, n);
  const auto dy = inputs(tokens, m);
  Matrix<float> dx(tokens, n + 3);
  std::ranges::fill(dx.span(), 77.0f);
  make_linear(weights, std::vector<float>(static_cast<std::size_t>(m), 5.0f), compute)
      ->add_transposed(dy.view(), dx.view().block(0, 0, tokens, n));
  double worst = 0;
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t j = 0; j < n; ++j) {
      double expected = 77;
      for (std::int64_t r = 0; r < m; ++r)
        expected += static_cast<double>(as_seen(dy(t, r), compute)) * as_seen(weights->values()(r, j), compute);
      worst = std::max(worst, std::abs(dx(t, j) - expected) / (77 + std::abs(expected)));
    }
  EXPECT_LT(worst, 1e-6 * std::sqrt(static_cast<double>(m)));
  for (std::int64_t t = 0; t < tokens; ++t) EXPECT_EQ(dx(t, n), 77.0f);
}

TEST(Linear, AddsTheTransposedProduct) {
  for (const auto compute : {Compute::f32, Compute::bf16})
    for (const std::int64_t tokens : {1, 9, 300})
      for (const std::int64_t n : {1, 33, 200}) expect_transposed(48, n, tokens, compute);
  expect_transposed(300, 16384, 2, Compute::f32);  // two panels
}

TEST(Linear, SameBitsForAnyNumberOfThreads) {
  for (const auto compute : {Compute::f32, Compute::bf16})
    for (const std::int64_t tokens : {3, 600}) {
      const auto linear = make_linear(std::make_shared<PlainRows>(150, 96), {}, compute);
      const auto x = inputs(tokens, 96);
      Matrix<float> one(tokens, 150), many(tokens, 150), one_back(tokens, 96), many_back(tokens, 96);
      set_thread_count(1);
      linear->apply(x.view(), one.view());
      linear->add_transposed(one.view(), one_back.view());
      set_thread_count(3);
      linear->apply(x.view(), many.view());
      linear->add_transposed(many.view(), many_back.view());
      set_thread_count(0);
      EXPECT_TRUE(std::ranges::equal(one.span(), many.span()));
      EXPECT_TRUE(std::ranges::equal(one_back.span(), many_back.span()));
    }
}

}  // namespace
}  // namespace nearplane
