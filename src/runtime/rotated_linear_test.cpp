#include "runtime/rotated_linear.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"
#include "random_rotated.h"
#include "runtime/network.h"

namespace nearplane {
namespace {

Matrix<float> random_rows(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Matrix<float> x(rows, cols);
  Rng rng(seed);
  for (auto& value : x.span()) value = static_cast<float>(rng.normal());
  return x;
}

// Against the decoded matrix, for the few tokens of generation and the many of a window.
TEST(RotatedLinear, IsItsMatrixForwardsAndBackwards) {
  for (const auto& [m, n] : {std::pair{24, 40}, {1, 12}, {9, 1}})
    for (const std::int64_t tokens : {3, 70}) {
      const QuantizedTensor q = random_rotated(m, n, 3, 1);
      const auto w = q.decode();
      std::vector<float> bias;
      for (std::int64_t i = 0; i < m; ++i) bias.push_back(static_cast<float>(i));
      const auto linear = linear_of(std::make_shared<QuantizedTensor>(q), bias, Compute::f32);
      EXPECT_EQ(linear->in_features(), n);
      EXPECT_EQ(linear->out_features(), m);
      const auto x = random_rows(tokens, n, 2), dy = random_rows(tokens, m, 3);
      auto dx = random_rows(tokens, n, 4);
      const auto before = dx.clone();
      Matrix<float> y(tokens, m);
      linear->apply(x.view(), y.view());
      linear->add_transposed(dy.view(), dx.view());
      for (std::int64_t t = 0; t < tokens; ++t) {
        for (std::int64_t i = 0; i < m; ++i) {
          double expected = static_cast<double>(bias[i]);
          for (std::int64_t j = 0; j < n; ++j) expected += static_cast<double>(w(i, j)) * static_cast<double>(x(t, j));
          EXPECT_NEAR(y(t, i), expected, 2e-5);
        }
        for (std::int64_t j = 0; j < n; ++j) {
          double expected = static_cast<double>(before(t, j));
          for (std::int64_t i = 0; i < m; ++i) expected += static_cast<double>(w(i, j)) * static_cast<double>(dy(t, i));
          EXPECT_NEAR(dx(t, j), expected, 2e-5);
        }
      }
    }
}

TEST(RotatedLinear, SameBitsForAnyNumberOfThreads) {
  const auto q = std::make_shared<QuantizedTensor>(random_rotated(96, 48, 2, 5));
  const auto linear = linear_of(q, {}, Compute::bf16);
  const auto x = random_rows(100, 48, 6);
  const auto outputs = [&](int threads) {
    set_thread_count(threads);
    Matrix<float> y(100, 96);
    linear->apply(x.view(), y.view());
    return std::vector<float>(y.data(), y.data() + y.size());
  };
  const auto one = outputs(1);
  EXPECT_EQ(outputs(3), one);
  set_thread_count(0);
}

}  // namespace
}  // namespace nearplane
