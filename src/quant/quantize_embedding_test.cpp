#include "quant/quantize_embedding.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "base/threads.h"
#include "expect_error.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

QuantizedEmbedding quantized(const Matrix<float>& w) {
  return quantize_embedding(
      w.rows(), w.cols(),
      [&](std::int64_t r0, std::int64_t count, float* out) { std::copy_n(w.row(r0), count * w.cols(), out); }, "table");
}

Matrix<float> row_of(std::initializer_list<float> values) {
  Matrix<float> w(1, static_cast<std::int64_t>(values.size()));
  std::copy(values.begin(), values.end(), w.data());
  return w;
}

std::vector<int> codes_of(const IntegerTensor& t, std::int64_t r) {
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(t.cols));
  t.codes_of_row(r, codes.data());
  return {codes.begin(), codes.end()};
}

// Rows of sizes from 1e-7, where a step is a few times the least f16 number, to 1e4.
Matrix<float> random_table(std::int64_t rows, std::int64_t cols) {
  Rng rng(3);
  Matrix<float> w(rows, cols);
  for (std::int64_t r = 0; r < rows; ++r) {
    const double size = std::pow(10, -7 + 11 * rng.uniform());
    for (std::int64_t j = 0; j < cols; ++j) w(r, j) = static_cast<float>(size * rng.normal());
  }
  return w;
}

TEST(QuantizeEmbedding, TheStepReachesBothEndsOfTheRow) {
  const auto high = quantized(row_of({12.7f, 0, -0.04f, 0.06f, -6.35f, 0.25f}));
  EXPECT_EQ(high.tensor.scales[0], 0x2e67);  // 0.1 lies between this f16 number and the one below
  EXPECT_EQ(codes_of(high.tensor, 0), (std::vector{255, 128, 128, 129, 65, 130}));
  const auto low = quantized(row_of({-128, 1, 126.6f, -0.4f}));
  EXPECT_EQ(low.tensor.scales[0], f32_to_f16(1));
  EXPECT_EQ(codes_of(low.tensor, 0), (std::vector{0, 129, 255, 128}));
  EXPECT_NEAR(low.error, (0.4 * 0.4 + 0.4 * 0.4) / (128.0 * 128 + 1 + 126.6 * 126.6 + 0.4 * 0.4), 1e-10);
}

TEST(QuantizeEmbedding, EveryWeightIsWithinHalfAStepAndTheStepIsTheLeast) {
  const auto w = random_table(150, 33);
  const auto q = quantized(w);
  q.tensor.validate("table");
  EXPECT_EQ(q.tensor.stored_bytes(), 150 * (33 + 2));
  Matrix<float> decoded(w.rows(), w.cols());
  q.tensor.decode_rows(0, w.rows(), decoded.data());
  double error = 0, norm = 0;
  for (std::int64_t r = 0; r < w.rows(); ++r) {
    const double step = f16_to_f32(q.tensor.scales[r]);
    const double below = f16_to_f32(static_cast<std::uint16_t>(q.tensor.scales[r] - 1));
    bool needed = q.tensor.scales[r] == 1;
    for (std::int64_t j = 0; j < w.cols(); ++j) {
      const double weight = w(r, j), difference = weight - static_cast<double>(decoded(r, j));
      EXPECT_LE(std::abs(difference), step / 2 * (1 + 1e-5)) << r << ", " << j;
      needed |= weight > 127 * below || weight < -128 * below;
      error += difference * difference, norm += weight * weight;
    }
    EXPECT_TRUE(needed) << r;
  }
  EXPECT_NEAR(q.error, error / norm, 1e-12 * q.error);
}

TEST(QuantizeEmbedding, ZerosStayZerosAndTinyRowsGetTheLeastStep) {
  Matrix<float> w(3, 4);
  w(1, 0) = 1e-38f, w(1, 1) = -3e-8f, w(1, 2) = 1e-6f, w(1, 3) = -1e-45f;
  w(2, 0) = 1;
  const auto q = quantized(w);
  q.tensor.validate("table");
  EXPECT_EQ(q.tensor.scales[0], 1);
  EXPECT_EQ(codes_of(q.tensor, 0), (std::vector{128, 128, 128, 128}));
  EXPECT_EQ(q.tensor.scales[1], 1);  // 2^-24 = 6e-8
  EXPECT_EQ(codes_of(q.tensor, 1), (std::vector{128, 127, 145, 128}));
  EXPECT_EQ(quantized(Matrix<float>(2, 8)).error, 0);
}

TEST(QuantizeEmbedding, IsTheSameForAnyNumberOfThreads) {
  const auto w = random_table(1000, 40);
  set_thread_count(1);
  const auto one = quantized(w);
  set_thread_count(3);
  const auto three = quantized(w);
  set_thread_count(0);
  EXPECT_EQ(one.tensor.codes, three.tensor.codes);
  EXPECT_EQ(one.tensor.scales, three.tensor.scales);
  EXPECT_EQ(one.error, three.error);
}

TEST(QuantizeEmbedding, NamesRowsThatHaveNoCodes) {
  auto w = random_table(200, 8);
  w(130, 5) = NAN;
  expect_error(ErrorCode::bad_input, {"table", "row 130, column 5", "nan"}, [&] { quantized(w); });
  w(130, 5) = -INFINITY;
  expect_error(ErrorCode::bad_input, {"table", "row 130, column 5", "-inf"}, [&] { quantized(w); });
  w(130, 5) = -65504.0f * 128;
  EXPECT_EQ(codes_of(quantized(w).tensor, 130)[5], 0);
  w(130, 5) *= 1.0001f;
  expect_error(ErrorCode::bad_input, {"table", "row 130", "65510", "65504"}, [&] { quantized(w); });
}

}  // namespace
}  // namespace nearplane
