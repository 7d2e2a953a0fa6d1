#include "transformer/backward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "base/threads.h"
#include "tiny_model.h"

namespace nearplane {
namespace {

// The forward pass is f32: its rounding over the step, and the step squared, both about 1e-3 of a derivative.
constexpr double kStep = 1e-2, kTolerance = 5e-3;

Matrix<float> random_matrix(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Rng rng(seed);
  Matrix<float> out(rows, cols);
  for (auto& v : out.span()) v = static_cast<float>(rng.normal());
  return out;
}

double inner(const Matrix<float>& a, const Matrix<float>& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a.data()[i]) * b.data()[i];
  return sum;
}

// x + step * v
Matrix<float> moved(const Matrix<float>& x, const Matrix<float>& v, double step) {
  auto out = x.clone();
  for (std::int64_t i = 0; i < x.size(); ++i) out.data()[i] += static_cast<float>(step * v.data()[i]);
  return out;
}

// Block 1 of a tiny model on two sequences, and the loss sum c . output.
class BackwardBlock : public testing::TestWithParam<const char*> {
 protected:
  TinyModel model{GetParam()};
  const ModelConfig& config = model.config();
  Block& block = model.blocks[1];
  std::vector<std::int64_t> lengths{13, 30};
  Matrix<float> x = random_matrix(43, config.hidden, 1), c = random_matrix(43, config.hidden, 2);

  double loss(const Matrix<float>& input) const {
    auto y = input.clone();
    forward_block(block, config, lengths, y.view(), {});
    return inner(y, c);
  }
  Matrix<float> backward(const OutputGradient& visit) const {
    auto dx = c.clone();
    backward_block(block, config, lengths, x.view(), dx.view(), visit);
    return dx;
  }
};

TEST_P(BackwardBlock, InputGradientIsTheDerivative) {
  const auto dx = backward([](auto, auto) {});
  for (const std::uint64_t seed : {3, 4, 5}) {
    const auto v = random_matrix(x.rows(), x.cols(), seed);
    const double expected = (loss(moved(x, v, kStep)) - loss(moved(x, v, -kStep))) / (2 * kStep);
    EXPECT_NEAR(inner(dx, v), expected, kTolerance * std::sqrt(inner(dx, dx)));
  }
}

// A change of a layer's bias adds the same to the outputs of all tokens.
TEST_P(BackwardBlock, OutputGradientsAreTheDerivatives) {
  std::array<Matrix<float>, kLinearKinds.size()> sums;
  backward([&](LinearKind kind, MatrixView<const float> g) {
    auto& sum = sums[static_cast<std::size_t>(kind)];
    EXPECT_EQ(sum.size(), 0) << "visited twice";
    sum = Matrix<float>(1, g.cols);
    for (std::int64_t t = 0; t < g.rows; ++t)
      for (std::int64_t i = 0; i < g.cols; ++i) sum(0, i) += g(t, i);
  });
  for (const auto kind : kLinearKinds) {
    const auto& sum = sums[static_cast<std::size_t>(kind)];
    const auto name = linear_name(1, kind);
    ASSERT_EQ(sum.size(), linear_shape(config, kind)[0]) << name;
    const auto v = random_matrix(1, sum.size(), 6);
    const auto loss_with_bias = [&](double step) {
      auto bias = Matrix<float>(1, sum.size());
      if (linear_has_bias(config, kind)) std::ranges::copy(model.weights->vector(name + ".bias"), bias.data());
      bias = moved(bias, v, step);
      auto& linear = block.linear[static_cast<std::size_t>(kind)];
      linear =
          make_linear(model.weights->rows(name + ".weight"), {bias.span().begin(), bias.span().end()}, Compute::f32);
      return loss(x);
    };
    const double expected = (loss_with_bias(kStep) - loss_with_bias(-kStep)) / (2 * kStep);
    loss_with_bias(0);
    EXPECT_NEAR(inner(sum, v), expected, kTolerance * std::sqrt(inner(sum, sum))) << name;
  }
}

TEST_P(BackwardBlock, SameBitsForAnyNumberOfThreads) {
  set_thread_count(1);
  const auto one = backward([](auto, auto) {});
  set_thread_count(3);
  const auto many = backward([](auto, auto) {});
  set_thread_count(0);
  EXPECT_TRUE(std::ranges::equal(one.span(), many.span()));
}

INSTANTIATE_TEST_SUITE_P(Families, BackwardBlock, testing::Values("llama", "mistral-window", "qwen2", "qwen3"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(BackwardHead, IsTheDerivative) {
  const TinyModel model("qwen3");  // tied
  const auto x = random_matrix(9, model.config().hidden, 1), c = random_matrix(9, model.config().vocab, 2);
  const auto loss = [&](const Matrix<float>& input) {
    Matrix<float> logits(c.rows(), c.cols());
    model.head.logits(input.view(), logits.view());
    return inner(logits, c);
  };
  auto dx = Matrix<float>::uninitialized(x.rows(), x.cols());
  backward_head(model.head, x.view(), c.view(), dx.view());
  const auto v = random_matrix(x.rows(), x.cols(), 3);
  const double expected = (loss(moved(x, v, kStep)) - loss(moved(x, v, -kStep))) / (2 * kStep);
  EXPECT_NEAR(inner(dx, v), expected, kTolerance * std::sqrt(inner(dx, dx)));
}

}  // namespace
}  // namespace nearplane
