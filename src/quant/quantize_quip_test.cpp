#include "quant/quantize_quip.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"
#include "expect_error.h"
#include "lattice/error.h"
#include "lattice_problem.h"
#include "quant/measure.h"

namespace nearplane {
namespace {

GridOptions options(int bits) {
  GridOptions o;
  o.method = Method::quip, o.bits = bits;
  return o;
}

const RotatedTensor& rotated(const QuantizedLayer& layer) { return *layer.tensor.rotated(); }

// Weights with a few columns and single weights far above the others: what rotations are for.
Matrix<float> uneven_weights(std::int64_t m, std::int64_t n, std::uint64_t seed) {
  auto w = random_weights(m, n, seed);
  Rng rng(seed + 1);
  for (std::int64_t i = 0; i < m; ++i) w(i, 5) *= 8, w(i, static_cast<std::int64_t>(rng.below(n))) *= 15;
  return w;
}

TEST(QuantizeQuip, AllBitsAreMeasuredRight) {
  const auto w = random_weights(80, 96, 1);
  const auto h = random_gram(96, 200, 2);
  const Hessian hessian(h, Order::act, 0.01, "h");
  double last = 1;
  for (int bits = 2; bits <= 8; ++bits) {
    const auto layer = quantize_quip(w, hessian, options(bits), 3, "w");
    layer.tensor.validate("w");
    const auto& record = layer.record;
    EXPECT_EQ(record.bits, bits);
    EXPECT_EQ(layer.tensor.stored_bytes(), 80 * 96 * bits / 8 + 12);
    EXPECT_EQ(record.bits_per_weight, layer.tensor.bits_per_weight());
    const auto direct = total(lattice::row_errors<double>(differences(w, layer.tensor).view(), h));
    const auto norm = total(lattice::row_errors<double>(w.view(), h));
    EXPECT_NEAR(record.error, direct / norm, 1e-6 * record.error);
    EXPECT_LT(record.certificate, 1e-4);
    EXPECT_LT(record.error, 0.45 * last);  // a bit is worth a factor of 4 at high rate
    EXPECT_GT(record.error, record.limit);
    EXPECT_NEAR(record.expectation * 3, record.bound, 1e-12);
    EXPECT_EQ(record.damping, 0.01);
    last = record.error;
  }
}

// Rotation is worth nothing to weights that are alike already, and a great deal to others.
TEST(QuantizeQuip, OutliersCostNothing) {
  const auto h = random_gram(96, 300, 4);
  const Hessian hessian(h, Order::act, 0.01, "h");
  GridOptions per_row;
  per_row.group = 0, per_row.symmetric = true, per_row.alternate = 0;
  const auto gain = [&](const Matrix<float>& w) {
    return quantize_quip(w, hessian, options(3), 5, "w").record.error /
           quantize_linear(w, &hessian, per_row, "w").record.error;
  };
  EXPECT_LT(gain(uneven_weights(128, 96, 6)), 0.35);
  EXPECT_LT(gain(random_weights(128, 96, 7)), 1.1);
}

// The searched step is the best one: steps around it are no better for the whole layer.
TEST(QuantizeQuip, FindsAStepNearTheOneForGaussianWeights) {
  const auto w = random_weights(256, 128, 8);
  Matrix<double> h(128, 128);
  for (std::int64_t j = 0; j < 128; ++j) h(j, j) = 1;
  const Hessian hessian(h, Order::natural, 1e-6, "h");
  // Max, IRE Trans. Inform. Theory 6 (1960): the best uniform quantizers of a Gaussian, their step and error.
  for (const auto& [bits, step, error] : {std::tuple{2, 0.9957, 0.1188}, {3, 0.5860, 0.03744}, {4, 0.3352, 0.01154}}) {
    const auto layer = quantize_quip(w, hessian, options(bits), 9, "w");
    EXPECT_NEAR(static_cast<double>(rotated(layer).step), step, 0.06 * step);
    EXPECT_NEAR(layer.record.error, error, 0.05 * error);
  }
}

TEST(QuantizeQuip, SeedsChangeTheCodesAndNotTheQuality) {
  const auto w = uneven_weights(64, 96, 10);
  const Hessian hessian(random_gram(96, 300, 11), Order::act, 0.01, "h");
  const auto a = quantize_quip(w, hessian, options(3), 1, "w"), b = quantize_quip(w, hessian, options(3), 2, "w");
  EXPECT_NE(rotated(a).codes, rotated(b).codes);
  EXPECT_EQ(rotated(b).seed, 2u);
  EXPECT_NEAR(a.record.error / b.record.error, 1, 0.15);
}

TEST(QuantizeQuip, SmallestAndPlainestLayers) {
  for (const auto& [m, n] : {std::pair{1, 1}, {1, 60}, {60, 1}, {3, 2}}) {
    SCOPED_TRACE(testing::Message() << m << " x " << n);
    const Hessian hessian(random_gram(n, 2 * n + 2, 12), Order::natural, 0.01, "h");
    auto w = random_weights(m, n, 13);
    EXPECT_LT(quantize_quip(w, hessian, options(5), 14, "w").record.error, 0.02);
    std::fill_n(w.data(), w.size(), 0.25f);
    EXPECT_LT(quantize_quip(w, hessian, options(5), 14, "w").record.error, 0.02);
    std::fill_n(w.data(), w.size(), 0.0f);
    const auto zero = quantize_quip(w, hessian, options(5), 14, "w");
    zero.tensor.validate("w");
    EXPECT_EQ(zero.record.error, 0);
    EXPECT_TRUE(std::isfinite(zero.record.certificate));
    const auto decoded = zero.tensor.decode();
    for (const float value : decoded.span()) EXPECT_LT(std::abs(value), 1e-20f);
  }
}

TEST(QuantizeQuip, DeadAndMassiveInputs) {
  const auto w = random_weights(64, 64, 15);
  auto h = random_gram(64, 200, 16);
  for (std::int64_t j = 0; j < 64; ++j) h(j, 5) = h(5, j) = 0, h(j, 9) *= 1e3, h(9, j) *= 1e3;
  const Hessian hessian(h, Order::act, 0.01, "h");
  const auto layer = quantize_quip(w, hessian, options(4), 17, "w");
  EXPECT_EQ(layer.record.dead_columns, 1);
  EXPECT_LT(layer.record.certificate, 1e-3);
  EXPECT_LT(layer.record.error, 0.01);
  const Hessian none(Matrix<double>(64, 64), Order::act, 0.01, "h");
  const auto blind = quantize_quip(w, none, options(4), 17, "w");
  blind.tensor.validate("w");
  EXPECT_EQ(blind.record.error, 0);
}

TEST(QuantizeQuip, SameBytesForAnyNumberOfThreads) {
  const auto w = uneven_weights(150, 96, 18);
  const auto h = random_gram(96, 250, 19);
  const auto solve = [&](int threads) {
    set_thread_count(threads);
    return quantize_quip(w, Hessian(h, Order::act, 0.01, "h"), options(3), 20, "w");
  };
  const auto one = solve(1), three = solve(3);
  EXPECT_EQ(rotated(one).codes, rotated(three).codes);
  EXPECT_EQ(rotated(one).step, rotated(three).step);
  EXPECT_EQ(one.record.error, three.record.error);
  EXPECT_EQ(one.record.certificate, three.record.certificate);
  set_thread_count(0);
}

TEST(QuantizeQuip, RefusesWhatItCannotDo) {
  const auto w = random_weights(8, 32, 21);
  const Hessian hessian(random_gram(32, 100, 22), Order::act, 0.01, "h");
  const auto refused = [&](std::initializer_list<std::string> parts, const GridOptions& o) {
    expect_error(ErrorCode::bad_input, parts, [&] { quantize_quip(w, hessian, o, 0, "blk.3"); });
  };
  refused({"blk.3", "1 bits"}, options(1));
  auto o = options(3);
  o.bits = 2.5;
  refused({"blk.3", "2.5 bits"}, o);
  o = options(3);
  o.solver = Solver::kbest;
  refused({"blk.3", "K-best"}, o);
  o = options(3);
  o.symmetric = true;
  refused({"blk.3", "symmetric"}, o);
  auto bad = w.clone();
  bad(3, 4) = NAN;
  expect_error(ErrorCode::bad_input, {"blk.3", "(3, 4)", "nan"},
               [&] { quantize_quip(bad, hessian, options(3), 0, "blk.3"); });
  bad(3, 4) = 1e30f;
  expect_error(ErrorCode::bad_input, {"blk.3", "steps of"},
               [&] { quantize_quip(bad, hessian, options(3), 0, "blk.3"); });
  expect_error(ErrorCode::unsupported, {"blk.3", "1031"},
               [&] { quantize_quip(random_weights(1031, 32, 23), hessian, options(3), 0, "blk.3"); });
}

}  // namespace
}  // namespace nearplane
