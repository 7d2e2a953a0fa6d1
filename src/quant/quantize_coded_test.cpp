#include "quant/quantize_coded.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"
#include "expect_error.h"
#include "lattice_problem.h"

namespace nearplane {
namespace {

GridOptions options(Method method, double bits, int states = 4) {
  GridOptions o;
  o.method = method, o.bits = bits, o.states = states;
  return o;
}

// A Gram matrix whose pivots fall over `octaves`.
Matrix<double> steep_gram(std::int64_t n, std::uint64_t seed, double octaves = 4) {
  auto h = random_gram(n, 3 * n, seed);
  const auto factor = [&](std::int64_t j) {
    return std::exp2(octaves * static_cast<double>(j * 37 % n) / static_cast<double>(n));
  };
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j <= i; ++j) h(i, j) *= factor(i) * factor(j);
  return h;
}

double direct_error(const Matrix<float>& w, const QuantizedTensor& q, const Matrix<double>& h) {
  Matrix<float> decoded(w.rows(), w.cols());
  q.decode_rows(0, w.rows(), decoded.data());
  double error = 0, norm = 0;
  for (std::int64_t r = 0; r < w.rows(); ++r)
    for (std::int64_t i = 0; i < w.cols(); ++i)
      for (std::int64_t j = 0; j < w.cols(); ++j) {
        const auto entry = h(std::max(i, j), std::min(i, j));
        const auto wi = static_cast<double>(w(r, i)), wj = static_cast<double>(w(r, j));
        norm += wi * entry * wj;
        error += (wi - static_cast<double>(decoded(r, i))) * entry * (wj - static_cast<double>(decoded(r, j)));
      }
  return error / norm;
}

TEST(QuantizeCoded, AllMethodsMeetTheirBitsAndAreMeasuredRight) {
  const auto w = random_weights(256, 96, 1);
  const auto h = steep_gram(96, 2);
  const Hessian hessian(h, Order::natural, 0.01, "h");
  for (const auto method : {Method::hptq, Method::watersic, Method::trellis}) {
    double last = 1;
    for (const double bits : {1.7, 2.0, 3.0, 4.3}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(method) << " at " << bits);
      const auto layer = quantize_coded(w, hessian, options(method, bits), {}, "w");
      layer.tensor.validate("w");
      EXPECT_NEAR(layer.record.bits_per_weight, bits, 0.005);
      EXPECT_EQ(layer.record.bits_per_weight, layer.tensor.bits_per_weight());
      EXPECT_LT(layer.record.certificate, 1e-4);
      EXPECT_NEAR(layer.record.error, direct_error(w, layer.tensor, h), 1e-3 * layer.record.error);
      EXPECT_LT(layer.record.error, last);
      EXPECT_GT(layer.record.error, layer.record.limit);
      last = layer.record.error;
    }
  }
}

// At equal bits of the file.
TEST(QuantizeCoded, MethodsRankAsTheyShould) {
  const auto w = random_weights(512, 96, 3);
  const auto h = steep_gram(96, 4);
  const Hessian hessian(h, Order::natural, 0.01, "h");
  GridOptions integers;
  integers.group = 0;
  const auto integer = quantize_linear(w, &hessian, integers, "w").record;
  const auto error = [&](Method method) {
    return quantize_coded(w, hessian, options(method, integer.bits_per_weight), {}, "w").record.error;
  };
  const double hptq = error(Method::hptq), watersic = error(Method::watersic), trellis = error(Method::trellis);
  EXPECT_LT(hptq, 0.9 * integer.error);
  EXPECT_LT(watersic, 0.6 * hptq);
  EXPECT_LT(trellis, 0.9 * watersic);
}

// WaterSIC's promise: 1/2 log2(2 pi e / 12) = 0.254 bit from the limit whatever the spectrum, where one step for all
// columns is far away. Tables and blocks of streams take another 0.03 bit of so small a layer.
TEST(QuantizeCoded, EqualSharesStayCloseToTheLimitOnASteepSpectrum) {
  const auto w = random_weights(4096, 256, 9);
  const Hessian hessian(steep_gram(256, 10, 5), Order::natural, 1e-9, "h");
  const auto distance = [&](Method method) {
    const auto record = quantize_coded(w, hessian, options(method, 5), {}, "w").record;
    return std::log2(record.error / record.limit) / 2;
  };
  EXPECT_LT(distance(Method::watersic), 0.30);
  EXPECT_GT(distance(Method::hptq), 1);
  EXPECT_LT(distance(Method::trellis), 0.17);
}

// A squared error of an output costs f_i: with one c every coordinate of the error costs about c^2 / 12, whatever the
// layer's inputs, pivots and sensitivities are. Fewer for rows whose sensitivity is damped upwards and for a trellis;
// more where one step for all columns meets pivots over four octaves.
TEST(QuantizeCoded, OneStepMeansOneFeltErrorPerWeight) {
  for (const double scale : {1.0, 16.0}) {
    const auto w = random_weights(256, 96, 7);
    auto h = steep_gram(96, 8);
    for (std::int64_t i = 0; i < 96; ++i)
      for (std::int64_t j = 0; j <= i; ++j) h(i, j) *= scale;
    const Hessian hessian(h, Order::natural, 1e-6, "h");
    std::vector<double> f(256);
    for (std::size_t i = 0; i < f.size(); ++i) f[i] = (i % 2 == 0 ? 1.0 : 9.0) / scale;
    for (const auto& [method, ratio] :
         {std::pair{Method::hptq, 1.2}, {Method::watersic, 0.9}, {Method::trellis, 0.65}}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(method) << ", inputs x " << scale);
      constexpr double kStep = 50;
      const auto layer = quantize_coded(w, hessian, options(method, 0.1), {.row_sensitivity = f, .step = kStep}, "w");
      EXPECT_GT(layer.record.bits_per_weight, 3);
      EXPECT_NEAR(layer.record.predicted_kl / (kStep * kStep / 12 * 256 * 96 / 2), ratio, 0.1);
    }
  }
}

TEST(QuantizeCoded, SensitiveRowsGetMoreBits) {
  const auto w = random_weights(256, 96, 5);
  const auto h = random_gram(96, 300, 6);
  const Hessian hessian(h, Order::natural, 0.01, "h");
  std::vector<double> f(256);
  for (std::size_t i = 0; i < f.size(); ++i) f[i] = i % 2 == 0 ? 1.0 : 64.0;
  const auto weighted_error = [&](std::span<const double> sensitivity) {
    const auto layer = quantize_coded(w, hessian, options(Method::watersic, 3), {.row_sensitivity = sensitivity}, "w");
    EXPECT_NEAR(layer.record.bits_per_weight, 3, 0.005);
    double sum = 0;
    for (std::int64_t i = 0; i < 256; ++i) {
      Matrix<float> row(1, 96);
      layer.tensor.decode_rows(i, 1, row.data());
      for (std::int64_t j = 0; j < 96; ++j) sum += f[i] * std::pow(static_cast<double>(w(i, j) - row(0, j)), 2);
    }
    return sum;
  };
  EXPECT_LT(weighted_error(f), 0.5 * weighted_error({}));
}

TEST(QuantizeCoded, SmallAndPlainLayersWork) {
  for (const auto method : {Method::hptq, Method::watersic, Method::trellis})
    for (const auto& [m, n] : {std::pair{1, 700}, {700, 1}, {40, 30}}) {
      SCOPED_TRACE(testing::Message() << static_cast<int>(method) << ", " << m << " x " << n);
      auto w = random_weights(m, n, 7);
      const Hessian hessian(random_gram(n, 2 * n, 8), Order::natural, 0.01, "h");
      const auto layer = quantize_coded(w, hessian, options(method, 5), {}, "w");
      EXPECT_NEAR(layer.record.bits_per_weight, 5, 0.05);
      EXPECT_LT(layer.record.error, 0.1);  // a block of 64 rows takes 20 bytes, whatever its columns
      std::fill_n(w.data(), w.size(), 0.25f);
      EXPECT_LT(quantize_coded(w, hessian, options(method, 5), {}, "w").record.error, 0.01);
      std::fill_n(w.data(), w.size(), 0.0f);
      const auto zero = quantize_coded(w, hessian, options(method, 5), {}, "w");
      EXPECT_EQ(zero.record.error, 0);
      EXPECT_LT(zero.record.bits_per_weight, 5);
    }
}

TEST(QuantizeCoded, DeadInputsHaveLevelZero) {
  const auto w = random_weights(200, 64, 9);
  auto h = random_gram(64, 200, 10);
  for (std::int64_t j = 0; j < 64; ++j) h(std::max<std::int64_t>(j, 5), std::min<std::int64_t>(j, 5)) = 0;
  const Hessian hessian(h, Order::natural, 0.01, "h");
  for (const auto method : {Method::hptq, Method::watersic, Method::trellis}) {
    const auto layer = quantize_coded(w, hessian, options(method, 3), {}, "w");
    EXPECT_EQ(layer.record.dead_columns, 1);
    Matrix<float> row(1, 64);
    layer.tensor.decode_rows(17, 1, row.data());
    EXPECT_EQ(row(0, 5), 0);
    EXPECT_LT(layer.record.error, 0.05);
  }
}

TEST(QuantizeCoded, SameBytesForAnyNumberOfThreads) {
  const auto w = random_weights(300, 64, 11);
  const Hessian hessian(random_gram(64, 200, 12), Order::natural, 0.01, "h");
  const auto bytes = [&](int threads) {
    set_thread_count(threads);
    const auto layer = quantize_coded(w, hessian, options(Method::trellis, 2.5), {}, "w");
    return std::get<CodedTensor>(layer.tensor.form).levels->bytes();
  };
  const auto one = bytes(1);
  EXPECT_EQ(bytes(3), one);
  set_thread_count(0);
}

TEST(QuantizeCoded, RefusesWhatItCannotReach) {
  const auto w = random_weights(64, 64, 13);
  const Hessian hessian(random_gram(64, 200, 14), Order::natural, 0.01, "h");
  expect_error(ErrorCode::bad_input, {"blk.3", "0.010 bits", "64 x 64", "to 8"},
               [&] { quantize_coded(w, hessian, options(Method::hptq, 0.01), {}, "blk.3"); });
  auto tiny = w.clone();
  for (auto& value : tiny.span()) value *= 1e-35f;
  expect_error(ErrorCode::bad_input, {"blk.3", "steps of"},
               [&] { quantize_coded(tiny, hessian, options(Method::hptq, 3), {}, "blk.3"); });
  auto bad = w.clone();
  bad(3, 4) = NAN;
  expect_error(ErrorCode::bad_input, {"blk.3", "(3, 4)", "nan"},
               [&] { quantize_coded(bad, hessian, options(Method::hptq, 3), {}, "blk.3"); });
}

}  // namespace
}  // namespace nearplane
