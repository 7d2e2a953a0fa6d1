// Every product against plain loops in double, on shapes that are no multiple of anything, with strides beyond the
// width.
#include "kernel/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "base/threads.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

struct Shape {
  std::int64_t m, n, k;
};
constexpr Shape kShapes[] = {{1, 1, 1}, {3, 5, 7}, {1, 33, 65}, {17, 1, 129}, {64, 48, 96}, {70, 130, 257}};

template <class T>
std::vector<T> random_values(std::int64_t count, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<T> out(static_cast<std::size_t>(count));
  for (auto& v : out) v = static_cast<T>(rng.normal());
  return out;
}

// c = beta c + alpha op(a) op(b), with element (i, l) of op(a) at a[i * a_row + l * a_col], b likewise by (l, j).
template <class T>
void reference(const Shape& s, double alpha, const T* a, std::int64_t a_row, std::int64_t a_col, const T* b,
               std::int64_t b_row, std::int64_t b_col, double beta, std::vector<T>& c, std::int64_t ldc) {
  for (std::int64_t i = 0; i < s.m; ++i)
    for (std::int64_t j = 0; j < s.n; ++j) {
      double sum = 0;
      for (std::int64_t l = 0; l < s.k; ++l)
        sum += static_cast<double>(a[i * a_row + l * a_col]) * static_cast<double>(b[l * b_row + j * b_col]);
      c[i * ldc + j] = static_cast<T>(beta * static_cast<double>(c[i * ldc + j]) + alpha * sum);
    }
}

template <class T>
class Gemm : public ::testing::Test {
 protected:
  static constexpr double kTolerance = sizeof(T) == 4 ? 2e-5 : 1e-12;

  template <class Call>
  void check(bool a_transposed, bool b_transposed, const Call& call) {
    for (const auto& s : kShapes) {
      SCOPED_TRACE(testing::Message() << s.m << " x " << s.n << " x " << s.k);
      const auto lda = (a_transposed ? s.m : s.k) + 3, ldb = (b_transposed ? s.k : s.n) + 2, ldc = s.n + 4;
      const auto a = random_values<T>((a_transposed ? s.k : s.m) * lda, 1);
      const auto b = random_values<T>((b_transposed ? s.n : s.k) * ldb, 2);
      const auto before = random_values<T>(s.m * ldc, 3);
      auto expected = before, actual = before;
      reference<T>(s, -1.5, a.data(), a_transposed ? 1 : lda, a_transposed ? lda : 1, b.data(), b_transposed ? 1 : ldb,
                   b_transposed ? ldb : 1, 0.5, expected, ldc);
      parallel_for(1,
                   [&](std::int64_t) { call(s, T(-1.5), a.data(), lda, b.data(), ldb, T(0.5), actual.data(), ldc); });
      for (std::int64_t i = 0; i < s.m; ++i)
        for (std::int64_t j = 0; j < ldc; ++j)  // beyond n: untouched
          ASSERT_NEAR(actual[i * ldc + j], expected[i * ldc + j], kTolerance * std::sqrt(static_cast<double>(s.k)))
              << i << ", " << j;
    }
  }
};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Gemm, Types);

TYPED_TEST(Gemm, NormalTimesTransposed) {
  this->check(false, true, [](const Shape& s, auto... rest) { gemm_nt(s.m, s.n, s.k, rest...); });
}
TYPED_TEST(Gemm, NormalTimesNormal) {
  this->check(false, false, [](const Shape& s, auto... rest) { gemm_nn(s.m, s.n, s.k, rest...); });
}
TYPED_TEST(Gemm, TransposedTimesNormal) {
  this->check(true, false, [](const Shape& s, auto... rest) { gemm_tn(s.m, s.n, s.k, rest...); });
}

TEST(GemmBf16, MultipliesRoundedInputsWithSumsInF32) {
  for (const auto& s : kShapes) {
    const auto lda = s.k + 1, ldb = s.k + 5, ldc = s.n + 2;
    std::vector<std::uint16_t> a, b;
    std::vector<float> wide_a, wide_b;
    for (const float v : random_values<float>(s.m * lda, 4))
      a.push_back(f32_to_bf16(v)), wide_a.push_back(bf16_to_f32(a.back()));
    for (const float v : random_values<float>(s.n * ldb, 5))
      b.push_back(f32_to_bf16(v)), wide_b.push_back(bf16_to_f32(b.back()));
    std::vector<float> expected(static_cast<std::size_t>(s.m * ldc), 7.0f), actual = expected;
    reference<float>(s, 1, wide_a.data(), lda, 1, wide_b.data(), 1, ldb, 0, expected, ldc);
    parallel_for(1,
                 [&](std::int64_t) { gemm_nt_bf16(s.m, s.n, s.k, a.data(), lda, b.data(), ldb, actual.data(), ldc); });
    for (std::size_t i = 0; i < actual.size(); ++i)
      ASSERT_NEAR(actual[i], expected[i], 2e-5 * std::sqrt(static_cast<double>(s.k))) << i;
  }
}

}  // namespace
}  // namespace nearplane
