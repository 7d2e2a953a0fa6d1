#include "quant/quantize_icquant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "expect_error.h"
#include "lattice/error.h"
#include "lattice_problem.h"
#include "quant/measure.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

GridOptions options(int bits, Method method = Method::icquant) {
  GridOptions o;
  o.method = method, o.bits = bits;
  return o;
}

const SplitTensor& split(const QuantizedLayer& layer) { return std::get<SplitTensor>(layer.tensor.form); }

TEST(QuantizeIcquant, AllBitsAreMeasuredRightAndFeedbackHelps) {
  const auto w = random_weights(80, 96, 1);
  const auto h = random_gram(96, 200, 2);
  const Hessian hessian(h, Order::act, 0.01, "h");
  double last = 1;
  for (int bits = 2; bits <= 8; ++bits) {
    const auto layer = quantize_icquant(w, hessian, options(bits), "w");
    layer.tensor.validate("w");
    const auto& record = layer.record;
    EXPECT_EQ(record.bits, bits);
    EXPECT_EQ(split(layer).outliers, 5);
    EXPECT_EQ(record.bits_per_weight, layer.tensor.bits_per_weight());
    EXPECT_NEAR(record.bits_per_weight, bits + 0.5 + 0.31, 0.04);  // three f16 numbers a row are half a bit here
    const auto direct = total(lattice::row_errors<double>(differences(w, layer.tensor).view(), h));
    const auto norm = total(lattice::row_errors<double>(w.view(), h));
    EXPECT_NEAR(record.error, direct / norm, 1e-6 * record.error);
    EXPECT_LT(record.certificate, 1e-4);
    EXPECT_LT(record.error, 0.4 * last);
    EXPECT_GT(record.error, record.limit);
    const auto rounded = quantize_icquant(w, hessian, options(bits, Method::icquant_rounding), "w").record;
    EXPECT_LT(record.error, 0.8 * rounded.error);
    EXPECT_EQ(rounded.certificate, 0);
    last = record.error;
  }
}

// The outliers are the largest weights of their row, and the steps of the rest do not see them.
TEST(QuantizeIcquant, OutliersAreTheLargestAndHalveTheRange) {
  const auto w = random_weights(30, 400, 3);
  const Hessian hessian(random_gram(400, 900, 4), Order::act, 0.01, "h");
  const auto layer = quantize_icquant(w, hessian, options(3, Method::icquant_rounding), "w");
  const auto& t = split(layer);
  ASSERT_EQ(t.outliers, 20);
  std::vector<std::int32_t> columns(20);
  for (std::int64_t r = 0; r < 30; ++r) {
    t.gaps->columns_of_row(r, columns.data());
    float least = INFINITY, largest = 0;
    for (std::int32_t j = 0; j < 400; ++j) {
      const bool outlier = std::find(columns.begin(), columns.end(), j) != columns.end();
      if (outlier)
        least = std::min(least, std::abs(w(r, j)));
      else
        largest = std::max(largest, std::abs(w(r, j)));
    }
    EXPECT_GE(least, largest);
    EXPECT_LE(f16_to_f32(t.scales[r].step), 1.001f * largest * 2 / 7);
    EXPECT_GE(f16_to_f32(t.scales[r].low), 0.9f * least);
  }
  EXPECT_LT(layer.record.clipped_share, 0.03);
}

TEST(QuantizeIcquant, BeatsOneQuantizerForHeavyTails) {
  auto w = random_weights(100, 200, 5);
  for (auto& x : w.span()) x = x * x * x;
  const Hessian hessian(random_gram(200, 500, 6), Order::act, 0.01, "h");
  GridOptions plain;
  plain.group = 0, plain.alternate = 0;
  const double one = quantize_linear(w, &hessian, plain, "w").record.error;
  EXPECT_LT(quantize_icquant(w, hessian, options(3), "w").record.error, 0.5 * one);
}

TEST(QuantizeIcquant, SmallestAndPlainestLayers) {
  for (const auto method : {Method::icquant, Method::icquant_rounding})
    for (const auto& [m, n] : {std::pair{1, 1}, {1, 60}, {60, 1}, {3, 2}}) {
      SCOPED_TRACE(testing::Message() << m << " x " << n);
      const Hessian hessian(random_gram(n, 2 * n + 2, 7), Order::natural, 0.01, "h");
      auto w = random_weights(m, n, 8);
      const auto layer = quantize_icquant(w, hessian, options(5, method), "w");
      layer.tensor.validate("w");
      EXPECT_LT(layer.record.error, 0.02);
      std::fill_n(w.data(), w.size(), 0.25f);
      EXPECT_LT(quantize_icquant(w, hessian, options(5, method), "w").record.error, 1e-4);
      std::fill_n(w.data(), w.size(), 0.0f);
      const auto zero = quantize_icquant(w, hessian, options(5, method), "w");
      zero.tensor.validate("w");
      EXPECT_EQ(zero.record.error, 0);
      const auto decoded = zero.tensor.decode();
      for (const float value : decoded.span()) EXPECT_EQ(value, 0);
    }
}

TEST(QuantizeIcquant, DeadInputs) {
  const auto w = random_weights(40, 64, 9);
  auto h = random_gram(64, 200, 10);
  for (std::int64_t j = 0; j < 64; ++j) h(j, 5) = h(5, j) = 0;
  const auto layer = quantize_icquant(w, Hessian(h, Order::act, 0.01, "h"), options(4), "w");
  EXPECT_EQ(layer.record.dead_columns, 1);
  EXPECT_LT(layer.record.certificate, 1e-4);
  const Hessian none(Matrix<double>(64, 64), Order::act, 0.01, "h");
  EXPECT_EQ(quantize_icquant(w, none, options(4), "w").record.error, 0);
}

TEST(QuantizeIcquant, SameBytesForAnyNumberOfThreads) {
  const auto w = random_weights(150, 96, 11);
  const auto h = random_gram(96, 250, 12);
  const auto solve = [&](int threads) {
    set_thread_count(threads);
    return quantize_icquant(w, Hessian(h, Order::act, 0.01, "h"), options(3), "w");
  };
  const auto one = solve(1), three = solve(3);
  EXPECT_EQ(split(one).codes, split(three).codes);
  EXPECT_EQ(split(one).gaps->bytes(), split(three).gaps->bytes());
  EXPECT_EQ(one.record.error, three.record.error);
  EXPECT_EQ(one.record.certificate, three.record.certificate);
  set_thread_count(0);
}

TEST(QuantizeIcquant, RefusesWhatItCannotDo) {
  const auto w = random_weights(8, 32, 13);
  const Hessian hessian(random_gram(32, 100, 14), Order::act, 0.01, "h");
  expect_error(ErrorCode::bad_input, {"blk.3", "1 bits"}, [&] { quantize_icquant(w, hessian, options(1), "blk.3"); });
  auto o = options(3);
  o.solver = Solver::kbest;
  expect_error(ErrorCode::bad_input, {"blk.3", "K-best"}, [&] { quantize_icquant(w, hessian, o, "blk.3"); });
  auto bad = w.clone();
  bad(3, 4) = NAN;
  expect_error(ErrorCode::bad_input, {"blk.3", "(3, 4)", "nan"},
               [&] { quantize_icquant(bad, hessian, options(3), "blk.3"); });
  bad(3, 4) = -1e6f;
  expect_error(ErrorCode::bad_input, {"blk.3", "(3, 4)", "f16"},
               [&] { quantize_icquant(bad, hessian, options(3), "blk.3"); });
}

}  // namespace
}  // namespace nearplane
