#include "quant/quantize_sparse.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "expect_error.h"
#include "lattice_problem.h"
#include "quant/hessian_state.h"
#include "quant/measure.h"
#include "quant/sparse_search.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

GridOptions options(double bits, std::int64_t group = 0, Order order = Order::act) {
  GridOptions o;
  o.method = Method::ssqr, o.bits = bits, o.group = group, o.order = order;
  return o;
}

// Inputs of which two are some hundred times the others, as those of massive activations are.
Matrix<double> massive_gram(std::int64_t n, std::uint64_t seed) {
  auto h = random_gram(n, 3 * n, seed);
  for (const std::int64_t j : {std::int64_t{7}, n / 2})
    for (std::int64_t i = 0; i < n; ++i) h(i, j) *= 300, h(j, i) *= 300;
  return h;
}

const SparseTensor& form(const QuantizedLayer& layer) { return std::get<SparseTensor>(layer.tensor.form); }

// (w - q) (H + shift I) (w - q)^T of every row, shift only for columns of the order.
std::vector<double> damped_errors(const Matrix<float>& w, const QuantizedTensor& q, const Matrix<double>& h,
                                  const lattice::Factor& factor) {
  const auto d = differences(w, q);
  std::vector<double> out;
  for (std::int64_t r = 0; r < w.rows(); ++r) {
    double sum = 0;
    for (const auto i : factor.order) {
      const auto di = static_cast<double>(d(r, i));
      for (const auto j : factor.order) sum += di * h(std::max(i, j), std::min(i, j)) * static_cast<double>(d(r, j));
      sum += factor.shift * di * di;
    }
    out.push_back(sum);
  }
  return out;
}

// 1/4 sum L_kk^2 s_k^2 of every row, from what is stored.
std::vector<double> bounds(const SparseTensor& t, const lattice::Factor& factor) {
  std::vector<double> out;
  for (std::int64_t r = 0; r < t.rows; ++r) {
    double sum = 0;
    for (std::int64_t k = 0; k < factor.rank(); ++k) {
      const double s =
          f16_to_f32(static_cast<std::uint16_t>(t.scales[r * t.groups() + factor.order[k] / t.group] & 0x7fff));
      sum += factor.pivots[k] * factor.pivots[k] * s * s / 4;
    }
    out.push_back(sum);
  }
  return out;
}

TEST(QuantizeSparse, MeetsItsBitsAndIsMeasuredRight) {
  const auto w = random_weights(256, 96, 1);
  const auto h = random_gram(96, 300, 2);
  const Hessian hessian(h, Order::act, 0.01, "h");
  for (const std::int64_t group : {0, 32}) {
    double last = 1;
    for (const double bits : {2.6, 3.0, 3.3, 4.1, 6.5, 9.0}) {
      SCOPED_TRACE(testing::Message() << bits << " bits, group " << group);
      const auto layer = quantize_sparse(w, hessian, options(bits + (group > 0 ? 0.4 : 0.0), group), "w");
      layer.tensor.validate("w");
      EXPECT_LE(layer.record.bits_per_weight, bits + (group > 0 ? 0.4 : 0.0));
      EXPECT_GT(layer.record.bits_per_weight, bits + (group > 0 ? 0.4 : 0.0) - 0.01);
      EXPECT_EQ(layer.record.bits_per_weight, layer.tensor.bits_per_weight());
      EXPECT_EQ(layer.record.bits, form(layer).bits);
      EXPECT_EQ(layer.record.clipped_share, 0);
      EXPECT_LT(layer.record.certificate, 1e-4);
      double error = 0, norm = 0;
      lattice::Factor plain = hessian.factor();
      plain.shift = 0;
      for (const double e : damped_errors(w, layer.tensor, h, plain)) error += e;
      for (std::int64_t r = 0; r < w.rows(); ++r)
        for (std::int64_t i = 0; i < w.cols(); ++i)
          for (std::int64_t j = 0; j < w.cols(); ++j)
            norm += static_cast<double>(w(r, i)) * h(i, j) * static_cast<double>(w(r, j));
      EXPECT_NEAR(layer.record.error, error / norm, 1e-4 * layer.record.error);
      EXPECT_LT(layer.record.error, last);
      EXPECT_GT(layer.record.error, layer.record.limit);
      EXPECT_LT(layer.record.error, layer.record.bound);
      EXPECT_NEAR(layer.record.expectation * 3, layer.record.bound, 1e-12);
      last = layer.record.error;
    }
  }
}

TEST(QuantizeSparse, TheBoundHoldsOnEveryRow) {
  for (const Order order : {Order::natural, Order::act})
    for (const double bits : {2.7, 3.1, 4.2}) {
      auto w = random_weights(200, 64, 3);
      for (std::int64_t i = 0; i < w.rows(); i += 3) w(i, i % 64) *= 40;  // outliers
      const auto h = random_gram(64, 100, 4);
      const Hessian hessian(h, order, 0.01, "h");
      const auto layer = quantize_sparse(w, hessian, options(bits, 0, order), "w");
      ASSERT_TRUE(form(layer).kept_columns.empty());
      EXPECT_GT(form(layer).overflow_share(), 0.001);
      const auto errors = damped_errors(w, layer.tensor, h, hessian.factor());
      const auto most = bounds(form(layer), hessian.factor());
      for (std::size_t i = 0; i < errors.size(); ++i) EXPECT_LE(errors[i], most[i]) << i;
    }
}

// With steps searched as well, zero points and clipping.
TEST(QuantizeSparse, BeatsIntegersOfTheSameSize) {
  const auto w = random_weights(300, 256, 5);
  Matrix<double> h(256, 256);
  Rng rng(6);
  for (int t = 0; t < 800; ++t) {
    double x[256];
    const double common = rng.normal();
    for (auto& value : x) value = 0.6 * common + rng.normal();
    for (int i = 0; i < 256; ++i)
      for (int j = 0; j < 256; ++j) h(i, j) += x[i] * x[j];
  }
  const Hessian hessian(h, Order::act, 0.01, "h");
  GridOptions integers;
  const auto integer = quantize_linear(w, &hessian, integers, "w").record;
  const auto sparse = quantize_sparse(w, hessian, options(integer.bits_per_weight), "w").record;
  EXPECT_LE(sparse.bits_per_weight, integer.bits_per_weight);
  EXPECT_LT(sparse.error, 0.95 * integer.error);
}

TEST(QuantizeSparse, KeepsColumnsOfMassiveInputs) {
  const auto w = random_weights(300, 256, 7);
  const auto h = massive_gram(256, 8);
  const Hessian hessian(h, Order::act, 0.01, "h");
  const auto layer = quantize_sparse(w, hessian, options(3.2), "w");
  layer.tensor.validate("w");
  EXPECT_EQ(form(layer).kept_columns, (std::vector<std::int32_t>{7, 128}));
  EXPECT_LE(layer.record.bits_per_weight, 3.2);
  EXPECT_GT(layer.record.bits_per_weight, 3.19);
  EXPECT_LT(layer.record.certificate, 1e-3);
  EXPECT_LT(layer.record.error, layer.record.bound);
  // Without keeping them, at the same bits.
  const SparseBasis<float> plain{hessian.state().triangle, hessian.factor(), 0};
  const std::string where = "w";
  const SparseSearch<float> search(w.view(), plain, 256, where);
  double least = INFINITY;
  for (const int bits : {2, 3}) least = std::min(least, search.fill(bits, 3.2, search.likely_price(3.2), 2)->error());
  double kept = 0;
  for (const double e : damped_errors(w, layer.tensor, h, hessian.factor())) kept += e;
  EXPECT_LT(kept, 0.2 * least);
}

TEST(QuantizeSparse, SmallAndPlainLayersWork) {
  for (const auto& [m, n] : {std::pair{1, 700}, {700, 1}, {40, 30}, {1, 1}}) {
    SCOPED_TRACE(testing::Message() << m << " x " << n);
    const double bits = n == 1 ? 28 : 6;
    auto w = random_weights(m, n, 9);
    const Hessian hessian(random_gram(n, 2 * n + 5, 10), Order::act, 0.01, "h");
    const auto layer = quantize_sparse(w, hessian, options(bits), "w");
    layer.tensor.validate("w");
    EXPECT_LE(layer.record.bits_per_weight, bits);
    EXPECT_LT(layer.record.error, 0.01);
    std::fill_n(w.data(), w.size(), 0.25f);
    EXPECT_LT(quantize_sparse(w, hessian, options(bits), "w").record.error, 0.01);
    std::fill_n(w.data(), w.size(), 0.0f);
    const auto zero = quantize_sparse(w, hessian, options(bits), "w");
    EXPECT_EQ(zero.record.error, 0);
    EXPECT_LE(zero.record.bits_per_weight, bits);
    std::vector<float> row(static_cast<std::size_t>(n));
    zero.tensor.decode_rows(0, 1, row.data());
    for (const float value : row) EXPECT_EQ(value, 0);
  }
}

TEST(QuantizeSparse, DeadInputsAreRoundedAndTakeNoEntries) {
  const auto w = random_weights(200, 64, 11);
  auto h = random_gram(64, 200, 12);
  for (std::int64_t j = 0; j < 64; ++j) h(5, j) = h(j, 5) = 0;
  const Hessian hessian(h, Order::act, 0.01, "h");
  const auto layer = quantize_sparse(w, hessian, options(3.5), "w");
  layer.tensor.validate("w");
  EXPECT_EQ(layer.record.dead_columns, 1);
  EXPECT_LT(layer.record.error, 0.05);
  for (std::int64_t r = 0; r < 200; ++r) {
    std::vector<Overflow> listed;
    form(layer).overflow->row(r, listed);
    for (const auto& code : listed) EXPECT_NE(code.column, 5);
    std::vector<float> row(64);
    layer.tensor.decode_rows(r, 1, row.data());
    EXPECT_LT(std::abs(row[5] - w(r, 5)), std::max(0.5f, 0.7f * std::abs(w(r, 5))));
  }
  const Hessian dead(Matrix<double>(64, 64), Order::act, 0.01, "h");
  const auto rounded = quantize_sparse(w, dead, options(3.5), "w");
  EXPECT_EQ(rounded.record.error, 0);
  EXPECT_EQ(rounded.record.bound, 0);
  EXPECT_EQ(form(rounded).overflow->size(), 0);
}

TEST(QuantizeSparse, SameBytesForAnyNumberOfThreads) {
  const auto w = random_weights(1100, 64, 13);  // more than a sample
  const auto h = massive_gram(64, 14);
  const auto solve = [&](int threads) {
    set_thread_count(threads);
    return quantize_sparse(w, Hessian(h, Order::act, 0.01, "h"), options(3.4, 32), "w");
  };
  const auto one = solve(1);
  for (const int threads : {2, 3}) {
    const auto many = solve(threads);
    EXPECT_EQ(form(one).codes, form(many).codes);
    EXPECT_EQ(form(one).scales, form(many).scales);
    EXPECT_EQ(form(one).overflow->entries(), form(many).overflow->entries());
    EXPECT_EQ(form(one).kept, form(many).kept);
    EXPECT_EQ(one.record.error, many.record.error);
    EXPECT_EQ(one.record.bound, many.record.bound);
    EXPECT_EQ(one.record.certificate, many.record.certificate);
  }
  set_thread_count(0);
}

TEST(QuantizeSparse, RefusesWhatItCannotReach) {
  const auto w = random_weights(64, 64, 15);
  const Hessian hessian(random_gram(64, 200, 16), Order::act, 0.01, "h");
  expect_error(ErrorCode::bad_input, {"blk.3", "2.1", "64 x 64", "2.", "to 32"},
               [&] { quantize_sparse(w, hessian, options(2.1), "blk.3"); });
  for (const double bits : {0.0, 2.0, -3.0, 33.0, static_cast<double>(NAN)})
    expect_error(ErrorCode::bad_input, {"blk.3", "out of reach"},
                 [&] { quantize_sparse(w, hessian, options(bits), "blk.3"); });
  expect_error(ErrorCode::bad_input, {"blk.3", "48", "64"},
               [&] { quantize_sparse(w, hessian, options(3, 48), "blk.3"); });
  auto kbest = options(3);
  kbest.solver = Solver::kbest;
  expect_error(ErrorCode::bad_input, {"blk.3", "K-best"}, [&] { quantize_sparse(w, hessian, kbest, "blk.3"); });
  auto large = w.clone();
  for (auto& value : large.span()) value *= 1e8f;
  expect_error(ErrorCode::bad_input, {"blk.3", "group 0 of row 0", "65504"},
               [&] { quantize_sparse(large, hessian, options(3), "blk.3"); });
  auto bad = w.clone();
  bad(3, 4) = NAN;
  expect_error(ErrorCode::bad_input, {"blk.3", "(3, 4)", "nan"},
               [&] { quantize_sparse(bad, hessian, options(3), "blk.3"); });
}

}  // namespace
}  // namespace nearplane
