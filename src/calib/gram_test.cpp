#include "calib/gram.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/rng.h"
#include "base/threads.h"
#include "expect_error.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

Matrix<float> random_matrix(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Matrix<float> m(rows, cols);
  Rng rng(seed);
  for (auto& v : m.span()) v = static_cast<float>(rng.normal());
  return m;
}

Matrix<double> gram_of(const Matrix<float>& x, Arithmetic arithmetic = Arithmetic::f32) {
  Gram gram(x.cols(), arithmetic);
  gram.add(x.view(), "test");
  return gram.total().clone();
}

double direct(const Matrix<float>& x, std::int64_t i, std::int64_t j) {
  double sum = 0;
  for (std::int64_t t = 0; t < x.rows(); ++t) sum += static_cast<double>(x(t, i)) * static_cast<double>(x(t, j));
  return sum;
}

TEST(Gram, EqualsTheSumOfOuterProducts) {
  for (const std::int64_t n : {1, 7, 192, 193, 400}) {
    const auto x = random_matrix(300, n, 1);
    const auto h = gram_of(x);
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j <= i; ++j) EXPECT_NEAR(h(i, j), direct(x, i, j), 1e-3) << n << " " << i << " " << j;
  }
}

TEST(Gram, AddsUpOverCallsAndCountsTokens) {
  const auto x = random_matrix(64, 20, 2);
  Gram gram(20, Arithmetic::f32);
  gram.add(x.view().rows_at(0, 40), "test");
  gram.add(x.view().rows_at(40, 24), "test");
  EXPECT_EQ(gram.tokens(), 64);
  for (std::int64_t i = 0; i < 20; ++i) EXPECT_NEAR(gram.total()(i, i), direct(x, i, i), 1e-4);
}

TEST(Gram, IsTheSameForAnyNumberOfThreads) {
  const auto x = random_matrix(5000, 400, 3);
  set_thread_count(1);
  const auto one = gram_of(x);
  set_thread_count(3);
  const auto three = gram_of(x);
  set_thread_count(0);
  EXPECT_TRUE(std::equal(one.span().begin(), one.span().end(), three.span().begin()));
}

TEST(Gram, Bf16IsTheGramOfTheRoundedInputs) {
  auto x = random_matrix(100, 30, 4);
  const auto rounded = gram_of(x, Arithmetic::bf16);
  for (auto& v : x.span()) v = bf16_to_f32(f32_to_bf16(v));
  for (std::int64_t i = 0; i < 30; ++i)
    for (std::int64_t j = 0; j <= i; ++j) EXPECT_NEAR(rounded(i, j), direct(x, i, j), 1e-4);
}

TEST(Gram, NamesTokenAndColumnOfANaN) {
  auto x = random_matrix(50, 10, 5);
  Gram gram(10, Arithmetic::f32);
  gram.add(x.view(), "layer 3");
  x(17, 4) = std::numeric_limits<float>::quiet_NaN();
  expect_error(ErrorCode::numerical, {"layer 3", "column 4", "nan", "token 67"},
               [&] { gram.add(x.view(), "layer 3"); });
}

TEST(Gram, SaysWhenFiniteInputsOverflow) {
  Matrix<float> x(2, 2);
  x(0, 0) = 1e30f;
  Gram gram(2, Arithmetic::f32);
  expect_error(ErrorCode::numerical, {"overflows"}, [&] { gram.add(x.view(), "layer"); });
}

}  // namespace
}  // namespace nearplane
