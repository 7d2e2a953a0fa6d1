#include "quant/quantize_spqr.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"
#include "expect_error.h"
#include "lattice/error.h"
#include "lattice_problem.h"
#include "quant/measure.h"

namespace nearplane {
namespace {

GridOptions options(int bits, ScaleSearch scales = ScaleSearch::minmax) {
  GridOptions o;
  o.method = Method::spqr, o.bits = bits, o.group = 16, o.scales = scales;
  return o;
}

const OutlierTensor& tensor(const QuantizedLayer& layer) { return std::get<OutlierTensor>(layer.tensor.form); }

TEST(QuantizeSpqr, AllBitsAreMeasuredRight) {
  const auto w = random_weights(80, 96, 1);
  const auto h = random_gram(96, 200, 2);
  const Hessian hessian(h, Order::act, 0.01, "h");
  double last = 1;
  for (int bits = 2; bits <= 8; ++bits) {
    const auto layer = quantize_spqr(w, hessian, options(bits), "w");
    layer.tensor.validate("w");
    const auto& record = layer.record;
    EXPECT_EQ(record.bits, bits);
    EXPECT_NEAR(static_cast<double>(tensor(layer).columns.size()), 77, 1);
    // Codes, 2 x 3 bytes of scale codes a row, a super group's 8 bytes, starts, 4 bytes a kept weight.
    EXPECT_EQ(layer.tensor.stored_bytes(),
              80 * 12 * bits + 80 * 6 + 5 * 6 * 8 + 81 * 4 + 4 * std::ssize(tensor(layer).columns));
    EXPECT_EQ(record.bits_per_weight, layer.tensor.bits_per_weight());
    const auto direct = total(lattice::row_errors<double>(differences(w, layer.tensor).view(), h));
    const auto norm = total(lattice::row_errors<double>(w.view(), h));
    EXPECT_NEAR(record.error, direct / norm, 1e-6 * record.error);
    EXPECT_LT(record.certificate, 1e-4);
    EXPECT_LT(record.error, last);
    EXPECT_GT(record.error, record.limit);
    EXPECT_NEAR(record.expectation * 3, record.bound, 1e-12);
    last = record.error;
  }
}

TEST(QuantizeSpqr, SearchedScalesAreBetter) {
  const auto w = random_weights(160, 128, 3);
  const Hessian hessian(random_gram(128, 300, 4), Order::act, 0.01, "h");
  const auto error = [&](ScaleSearch scales) {
    return quantize_spqr(w, hessian, options(2, scales), "w").record.error;
  };
  EXPECT_LT(error(ScaleSearch::pivots), 0.95 * error(ScaleSearch::minmax));
}

// The weights that stand out are the ones that are kept, and are exact up to f16 and feedback.
TEST(QuantizeSpqr, KeepsWhatStandsOut) {
  auto w = random_weights(64, 128, 5);
  Matrix<double> h(128, 128);
  for (std::int64_t j = 0; j < 128; ++j) h(j, j) = 1;
  const Hessian hessian(h, Order::natural, 1e-9, "h");
  Rng rng(6);
  std::vector<std::int64_t> columns;
  for (std::int64_t r = 0; r < 64; ++r) {
    columns.push_back(static_cast<std::int64_t>(rng.below(128)));
    w(r, columns.back()) = r % 2 == 0 ? 20.0f : -25.0f;
  }
  const auto layer = quantize_spqr(w, hessian, options(3), "w");
  const auto& t = tensor(layer);
  const auto decoded = layer.tensor.decode();
  for (std::int64_t r = 0; r < 64; ++r) {
    EXPECT_EQ(decoded(r, columns[r]), w(r, columns[r]));
    EXPECT_GE(t.starts[r + 1] - t.starts[r], 1);
  }
  GridOptions plain;
  plain.group = 16, plain.alternate = 0, plain.scales = ScaleSearch::minmax;
  EXPECT_LT(layer.record.error, 0.25 * quantize_linear(w, &hessian, plain, "w").record.error);
}

TEST(QuantizeSpqr, SmallestAndPlainestLayers) {
  for (const auto& [m, n] : {std::pair{1, 1}, {1, 60}, {60, 1}, {17, 2}}) {
    SCOPED_TRACE(testing::Message() << m << " x " << n);
    const Hessian hessian(random_gram(n, 2 * n + 2, 7), Order::natural, 0.01, "h");
    auto o = options(5);
    o.group = 0;
    auto w = random_weights(m, n, 8);
    const auto layer = quantize_spqr(w, hessian, o, "w");
    layer.tensor.validate("w");
    EXPECT_LT(layer.record.error, 0.05);
    std::fill_n(w.data(), w.size(), 0.25f);
    EXPECT_LT(quantize_spqr(w, hessian, o, "w").record.error, 1e-3);
    std::fill_n(w.data(), w.size(), 0.0f);
    const auto zero = quantize_spqr(w, hessian, o, "w");
    zero.tensor.validate("w");
    EXPECT_EQ(zero.record.error, 0);
    EXPECT_TRUE(tensor(zero).columns.empty());
    const auto decoded = zero.tensor.decode();
    for (const float value : decoded.span()) EXPECT_EQ(value, 0);
  }
}

TEST(QuantizeSpqr, DeadInputs) {
  const auto w = random_weights(40, 64, 9);
  auto h = random_gram(64, 200, 10);
  for (std::int64_t j = 0; j < 64; ++j) h(j, 5) = h(5, j) = 0;
  const auto layer = quantize_spqr(w, Hessian(h, Order::act, 0.01, "h"), options(4), "w");
  EXPECT_EQ(layer.record.dead_columns, 1);
  EXPECT_LT(layer.record.certificate, 1e-4);
  const Hessian none(Matrix<double>(64, 64), Order::act, 0.01, "h");
  EXPECT_EQ(quantize_spqr(w, none, options(4), "w").record.error, 0);
}

TEST(QuantizeSpqr, SameBytesForAnyNumberOfThreads) {
  const auto w = random_weights(150, 96, 11);
  const auto h = random_gram(96, 250, 12);
  const auto solve = [&](int threads) {
    set_thread_count(threads);
    return quantize_spqr(w, Hessian(h, Order::act, 0.01, "h"), options(3), "w");
  };
  const auto one = solve(1), three = solve(3);
  EXPECT_EQ(tensor(one).codes, tensor(three).codes);
  EXPECT_EQ(tensor(one).columns, tensor(three).columns);
  EXPECT_EQ(tensor(one).values, tensor(three).values);
  EXPECT_EQ(one.record.error, three.record.error);
  EXPECT_EQ(one.record.certificate, three.record.certificate);
  set_thread_count(0);
}

TEST(QuantizeSpqr, RefusesWhatItCannotDo) {
  const auto w = random_weights(8, 32, 13);
  const Hessian hessian(random_gram(32, 100, 14), Order::act, 0.01, "h");
  expect_error(ErrorCode::bad_input, {"blk.3", "1 bits"}, [&] { quantize_spqr(w, hessian, options(1), "blk.3"); });
  auto o = options(3);
  o.group = 24;
  expect_error(ErrorCode::bad_input, {"blk.3", "24", "32"}, [&] { quantize_spqr(w, hessian, o, "blk.3"); });
  auto bad = w.clone();
  bad(3, 4) = NAN;
  expect_error(ErrorCode::bad_input, {"blk.3", "(3, 4)", "nan"},
               [&] { quantize_spqr(bad, hessian, options(3), "blk.3"); });
  bad(3, 4) = -1e6f;
  expect_error(ErrorCode::bad_input, {"blk.3", "(3, 4)", "f16"},
               [&] { quantize_spqr(bad, hessian, options(3), "blk.3"); });
}

}  // namespace
}  // namespace nearplane
