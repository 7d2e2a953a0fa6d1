#include "quant/quantize_linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/threads.h"
#include "expect_error.h"
#include "lattice_problem.h"

namespace nearplane {
namespace {

GridOptions options(int bits, bool symmetric, Method method = Method::nearest_plane,
                    ScaleSearch scales = ScaleSearch::pivots, std::int64_t group = 32) {
  GridOptions o;
  o.bits = bits, o.symmetric = symmetric, o.method = method, o.scales = scales, o.group = group;
  return o;
}

double total_error(const Matrix<float>& w, const QuantizedTensor& q, const Matrix<double>& h, double* norm) {
  Matrix<float> decoded(w.rows(), w.cols());
  q.decode_rows(0, w.rows(), decoded.data());
  double error = 0;
  *norm = 0;
  for (std::int64_t r = 0; r < w.rows(); ++r)
    for (std::int64_t i = 0; i < w.cols(); ++i)
      for (std::int64_t j = 0; j < w.cols(); ++j) {
        const auto wi = static_cast<double>(w(r, i)), wj = static_cast<double>(w(r, j));
        *norm += wi * h(i, j) * wj;
        error += (wi - static_cast<double>(decoded(r, i))) * h(i, j) * (wj - static_cast<double>(decoded(r, j)));
      }
  return error;
}

TEST(QuantizeLinear, AllBitsBothKindsHoldTheirPromises) {
  const auto w = random_weights(40, 64, 1);
  const auto h = random_gram(64, 130, 2);
  const Hessian hessian(h, Order::act, 0.01, "h");
  double last = 10;
  for (int bits = 2; bits <= 8; ++bits)
    for (const bool symmetric : {true, false}) {
      SCOPED_TRACE(testing::Message() << bits << " bits, symmetric " << symmetric);
      const auto layer = quantize_linear(w, &hessian, options(bits, symmetric), "w");
      layer.tensor.validate("w");
      EXPECT_EQ(layer.tensor.integer()->symmetric, symmetric);
      const auto& record = layer.record;
      EXPECT_EQ(record.rows, 40);
      EXPECT_EQ(record.cols, 64);
      EXPECT_EQ(record.bits_per_weight, layer.tensor.bits_per_weight());
      double norm = 0;
      const double error = total_error(w, layer.tensor, h, &norm);
      EXPECT_NEAR(record.error, error / norm, 1e-5 * record.error);
      EXPECT_LT(record.error, last);
      EXPECT_LT(record.certificate, 1e-4);
      EXPECT_NEAR(record.expectation * 3, record.bound, 1e-12);
      EXPECT_GT(record.limit, 0);
      EXPECT_LT(record.limit, record.error);
      EXPECT_EQ(record.damping, 0.01);
      EXPECT_EQ(record.repairs, 0);
      EXPECT_EQ(record.dead_columns, 0);
      last = record.error;
    }
}

TEST(QuantizeLinear, MethodsAndSearchesRankAsTheyShould) {
  const auto w = random_weights(200, 128, 3);
  const auto h = random_gram(128, 200, 4);
  const Hessian hessian(h, Order::act, 0.01, "h");
  const auto error = [&](Method method, ScaleSearch scales) {
    return quantize_linear(w, &hessian, options(3, false, method, scales), "w").record.error;
  };
  const double rounding = error(Method::rounding, ScaleSearch::minmax);
  const double min_max = error(Method::nearest_plane, ScaleSearch::minmax);
  const double diagonal = error(Method::nearest_plane, ScaleSearch::diagonal);
  EXPECT_LT(min_max, 0.7 * rounding);
  EXPECT_LT(diagonal, 0.95 * min_max);
  EXPECT_LT(error(Method::nearest_plane, ScaleSearch::pivots), 0.95 * min_max);
  EXPECT_LT(error(Method::rounding, ScaleSearch::diagonal), 0.95 * rounding);
}

TEST(QuantizeLinear, PivotsBeatTheDiagonalWhereLaterColumnsMakeUpForEarlier) {
  // Neighbours in fours that differ by a little noise: all H_jj are alike, only the last of four has a large pivot.
  Rng rng(23);
  Matrix<double> h(64, 64);
  for (int t = 0; t < 400; ++t) {
    double x[64], common = 0;
    for (int j = 0; j < 64; ++j) {
      if (j % 4 == 0) common = rng.normal();
      x[j] = common + 0.2 * rng.normal();
    }
    for (int i = 0; i < 64; ++i)
      for (int j = 0; j < 64; ++j) h(i, j) += x[i] * x[j];
  }
  const auto w = random_weights(200, 64, 24);
  const Hessian hessian(h, Order::natural, 0.01, "h");
  const auto error = [&](ScaleSearch scales) {
    auto o = options(3, false, Method::nearest_plane, scales);
    o.alternate = 0;  // what is compared is where it would start
    return quantize_linear(w, &hessian, o, "w").record.error;
  };
  EXPECT_LT(error(ScaleSearch::pivots), 0.95 * error(ScaleSearch::diagonal));
}

TEST(QuantizeLinear, RoundingIsTheNearestLevelWithAndWithoutGramMatrix) {
  const auto w = random_weights(20, 64, 5);
  const auto h = random_gram(64, 100, 6);
  const Hessian hessian(h, Order::act, 0.01, "h");
  const auto o = options(4, false, Method::rounding, ScaleSearch::minmax);
  const auto blind = quantize_linear(w, nullptr, o, "w"), seen = quantize_linear(w, &hessian, o, "w");
  EXPECT_EQ(blind.tensor.integer()->codes, seen.tensor.integer()->codes);
  EXPECT_EQ(blind.tensor.integer()->scales, seen.tensor.integer()->scales);
  EXPECT_LT(blind.record.error, 0);
  EXPECT_LT(seen.record.bound, 0);
  double norm = 0;
  const double error = total_error(w, seen.tensor, h, &norm);
  EXPECT_NEAR(seen.record.error, error / norm, 1e-5 * seen.record.error);
  Matrix<float> decoded(20, 64);
  blind.tensor.decode_rows(0, 20, decoded.data());
  const float widest = 4.0f;  // more than the largest step: every weight is within half a step of its level
  for (std::int64_t i = 0; i < w.size(); ++i) EXPECT_LT(std::abs(w.data()[i] - decoded.data()[i]), 0.51f * widest / 7);
  EXPECT_LT(blind.record.clipped_share, 0.02);
}

TEST(QuantizeLinear, SolversAndRoundsRankAsTheyShould) {
  const auto w = random_weights(200, 128, 30);
  const auto h = random_gram(128, 400, 31);
  const Hessian hessian(h, Order::act, 0.01, "h");
  const auto record = [&](Solver solver, int rounds, int bits, bool symmetric) {
    auto o = options(bits, symmetric);
    o.solver = solver, o.alternate = rounds;
    const auto layer = quantize_linear(w, &hessian, o, "w");
    layer.tensor.validate("w");
    EXPECT_LT(layer.record.certificate, 1e-4);
    EXPECT_NEAR(layer.record.expectation * 3, layer.record.bound, 1e-12);
    return layer.record.error;
  };
  for (const int bits : {2, 3, 4})
    for (const bool symmetric : {false, true}) {
      const double plane = record(Solver::nearest_plane, 0, bits, symmetric);
      const double beam = record(Solver::kbest, 0, bits, symmetric);
      const double one = record(Solver::nearest_plane, 1, bits, symmetric);
      const double three = record(Solver::nearest_plane, 3, bits, symmetric);
      const double both = record(Solver::kbest, 3, bits, symmetric);
      EXPECT_LT(beam, 0.985 * plane);
      EXPECT_LT(one, 0.995 * plane);
      EXPECT_LT(three, one);
      EXPECT_LT(both, 0.995 * three);
    }
}

TEST(QuantizeLinear, DeadColumnsAreRecordedAndRounded) {
  const auto w = random_weights(10, 64, 7);
  auto h = random_gram(64, 100, 8);
  for (const std::int64_t dead : {5, 40})
    for (std::int64_t j = 0; j < 64; ++j) h(dead, j) = h(j, dead) = 0;
  const Hessian hessian(h, Order::act, 0.01, "h");
  const auto layer = quantize_linear(w, &hessian, options(4, false), "w");
  EXPECT_EQ(layer.record.dead_columns, 2);
  EXPECT_LT(layer.record.certificate, 1e-4);
  EXPECT_LT(layer.record.error, 0.01);
}

TEST(QuantizeLinear, AGramMatrixOfZerosLeavesPlainRounding) {
  const auto w = random_weights(10, 64, 9);
  const Hessian hessian(Matrix<double>(64, 64), Order::act, 0.01, "h");
  const auto planes = quantize_linear(w, &hessian, options(3, false), "w");
  EXPECT_EQ(planes.record.dead_columns, 64);
  EXPECT_EQ(planes.record.error, 0);
  EXPECT_EQ(planes.record.bound, 0);
  planes.tensor.validate("w");
}

TEST(QuantizeLinear, SingularAndExtremeGramMatrices) {
  const auto w = random_weights(30, 64, 10);
  const auto singular = random_gram(64, 5, 11);
  const auto a =
      quantize_linear(w, std::make_unique<Hessian>(singular, Order::act, 0.01, "h").get(), options(3, false), "w");
  EXPECT_LT(a.record.certificate, 1e-3);
  EXPECT_LT(a.record.error, 0.05);
  auto massive = random_gram(64, 100, 12);  // one input 1e15 times the others
  for (std::int64_t j = 0; j < 64; ++j) massive(9, j) *= 1e15, massive(j, 9) *= 1e15;
  const Hessian hessian(massive, Order::act, 0.01, "h");
  const auto b = quantize_linear(w, &hessian, options(3, false), "w");
  EXPECT_LT(b.record.certificate, 1e-3);
  EXPECT_TRUE(std::isfinite(b.record.error) && std::isfinite(b.record.bound));
}

TEST(QuantizeLinear, FeedbackBeyondF32IsRedoneInDouble) {
  // L = [[1e20, 0], [1e20, 1e-25]]: the feedback coefficient is 1e45.
  Matrix<double> h(2, 2);
  h(0, 0) = 2e40, h(1, 0) = 1e-5, h(1, 1) = 1e-50;
  const Hessian hessian(h, Order::natural, 1e-200, "h");
  const auto w = random_weights(20, 2, 13);
  for (const Solver solver : {Solver::nearest_plane, Solver::kbest})
    for (const int rounds : {0, 3}) {
      auto o = options(3, false, Method::nearest_plane, ScaleSearch::minmax, 2);
      o.solver = solver, o.alternate = rounds;
      const auto layer = quantize_linear(w, &hessian, o, "w");
      EXPECT_EQ(layer.record.repairs, 0);
      EXPECT_LT(layer.record.certificate, 1e-3);
      EXPECT_GT(layer.record.error, 0);
      EXPECT_LT(layer.record.error, 1);
    }
}

TEST(QuantizeLinear, SmallestShapes) {
  for (const auto& [m, n] : {std::pair{1, 1}, {1, 64}, {64, 1}, {3, 2}}) {
    const auto w = random_weights(m, n, 15);
    const Hessian hessian(random_gram(n, 10, 16), Order::natural, 0.01, "h");
    const auto layer =
        quantize_linear(w, &hessian, options(4, false, Method::nearest_plane, ScaleSearch::pivots, 0), "w");
    layer.tensor.validate("w");
    EXPECT_EQ(layer.tensor.integer()->group, n);
    EXPECT_LT(layer.record.error, 0.05);
  }
}

TEST(QuantizeLinear, ZeroWeightsAreExact) {
  const Matrix<float> w(5, 64);
  const Hessian hessian(random_gram(64, 100, 17), Order::act, 0.01, "h");
  for (const bool symmetric : {false, true}) {
    const auto layer = quantize_linear(w, &hessian, options(3, symmetric), "w");
    EXPECT_EQ(layer.record.error, 0);
    Matrix<float> decoded(5, 64);
    layer.tensor.decode_rows(0, 5, decoded.data());
    for (const float value : decoded.span()) EXPECT_EQ(value, 0);
  }
}

TEST(QuantizeLinear, SameBytesForAnyNumberOfThreads) {
  const auto w = random_weights(300, 192, 18);
  const auto h = random_gram(192, 250, 19);
  set_thread_count(1);
  auto o = options(3, false);
  o.solver = Solver::kbest;
  const auto one = quantize_linear(w, std::make_unique<Hessian>(h, Order::act, 0.01, "h").get(), o, "w");
  for (const int threads : {2, 3}) {
    set_thread_count(threads);
    const auto many = quantize_linear(w, std::make_unique<Hessian>(h, Order::act, 0.01, "h").get(), o, "w");
    EXPECT_EQ(one.tensor.integer()->codes, many.tensor.integer()->codes);
    EXPECT_EQ(one.tensor.integer()->scales, many.tensor.integer()->scales);
    EXPECT_EQ(one.tensor.integer()->zeros, many.tensor.integer()->zeros);
    EXPECT_EQ(one.record.error, many.record.error);
    EXPECT_EQ(one.record.bound, many.record.bound);
    EXPECT_EQ(one.record.certificate, many.record.certificate);
    EXPECT_EQ(one.record.clipped_share, many.record.clipped_share);
  }
  set_thread_count(0);
}

TEST(QuantizeLinear, RefusesBadInput) {
  auto w = random_weights(4, 64, 20);
  const auto o = options(3, false, Method::rounding, ScaleSearch::minmax, 48);
  expect_error(ErrorCode::bad_input, {"blk.3", "48", "64"}, [&] { quantize_linear(w, nullptr, o, "blk.3"); });
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    w(2, 33) = bad;
    expect_error(ErrorCode::bad_input, {"blk.3", "(2, 33)", bad > 0 ? "inf" : "nan"}, [&] {
      quantize_linear(w, nullptr, options(3, false, Method::rounding, ScaleSearch::minmax), "blk.3");
    });
  }
  for (const int beam : {0, 3, 16, -1}) {
    auto wrong = options(3, false);
    wrong.beam = beam;
    expect_error(ErrorCode::bad_input, {"blk.3", std::to_string(beam), "or 8"},
                 [&] { quantize_linear(w, nullptr, wrong, "blk.3"); });
  }
  auto rounding = options(3, false, Method::rounding, ScaleSearch::minmax);
  rounding.solver = Solver::kbest;
  expect_error(ErrorCode::bad_input, {"blk.3", "K-best"}, [&] { quantize_linear(w, nullptr, rounding, "blk.3"); });
  for (const int rounds : {-1, 101}) {
    auto wrong = options(3, false);
    wrong.alternate = rounds;
    expect_error(ErrorCode::bad_input, {"blk.3", std::to_string(rounds)},
                 [&] { quantize_linear(w, nullptr, wrong, "blk.3"); });
  }
  auto h = random_gram(8, 20, 21);
  h(6, 2) = std::numeric_limits<double>::quiet_NaN();
  expect_error(ErrorCode::numerical, {"q/k/v", "(6, 2)", "nan"}, [&] { Hessian(h, Order::act, 0.01, "q/k/v"); });
  h(6, 2) = 1e300;
  expect_error(ErrorCode::numerical, {"q/k/v", "(6, 2)", "1e+300"}, [&] { Hessian(h, Order::act, 0.01, "q/k/v"); });
  const Hessian small(random_gram(8, 20, 21), Order::act, 0.01, "h");
  expect_error(ErrorCode::bad_input, {"blk.3", "64", "8"},
               [&] { quantize_linear(random_weights(4, 64, 22), &small, options(3, false), "blk.3"); });
}

}  // namespace
}  // namespace nearplane
