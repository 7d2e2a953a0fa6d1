#include "calib/drift_gram.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/rng.h"
#include "expect_error.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

Matrix<float> random_inputs(std::int64_t rows, std::int64_t cols, std::uint64_t seed) {
  Matrix<float> m(rows, cols);
  Rng rng(seed);
  for (auto& v : m.span()) v = static_cast<float>(rng.normal());
  return m;
}

TEST(DriftGram, EqualsTheSumsOfProductsOverCalls) {
  for (const auto arithmetic : {Arithmetic::f32, Arithmetic::bf16}) {
    const std::int64_t n = 200, tokens = 90;
    auto quantized = random_inputs(tokens, n, 1), original = random_inputs(tokens, n, 2);
    DriftGram gram(n, arithmetic);
    gram.add(quantized.view().rows_at(0, 50), original.view().rows_at(0, 50), "test");
    gram.add(quantized.view().rows_at(50, 40), original.view().rows_at(50, 40), "test");
    EXPECT_EQ(gram.tokens(), tokens);
    if (arithmetic == Arithmetic::bf16)
      for (auto* m : {&quantized, &original})
        for (auto& v : m->span()) v = bf16_to_f32(f32_to_bf16(v));
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j <= i; ++j) {
        double cross = 0, squares = 0;
        for (std::int64_t t = 0; t < tokens; ++t) {
          const auto d = [&](std::int64_t k) {
            return static_cast<double>(original(t, k)) - static_cast<double>(quantized(t, k));
          };
          cross += static_cast<double>(quantized(t, i)) * d(j);
          squares += d(i) * d(j);
        }
        EXPECT_NEAR(gram.cross()(i, j), cross, 1e-3);
        EXPECT_NEAR(gram.squares()(i, j), squares, 1e-3);
      }
  }
}

TEST(DriftGram, EqualInputsHaveNoDrift) {
  const auto x = random_inputs(30, 8, 3);
  DriftGram gram(8, Arithmetic::f32);
  gram.add(x.view(), x.view(), "test");
  for (const auto v : gram.cross().span()) EXPECT_EQ(v, 0);
  for (const auto v : gram.squares().span()) EXPECT_EQ(v, 0);
}

TEST(DriftGram, NamesTokenAndColumnOfANaN) {
  const auto quantized = random_inputs(50, 10, 4);
  auto original = random_inputs(50, 10, 5);
  original(17, 4) = std::numeric_limits<float>::quiet_NaN();
  DriftGram gram(10, Arithmetic::f32);
  expect_error(ErrorCode::numerical, {"layer 3", "column 4", "nan", "token 17"},
               [&] { gram.add(quantized.view(), original.view(), "layer 3"); });
}

}  // namespace
}  // namespace nearplane
