#include "quant/measure.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/threads.h"
#include "lattice/bound.h"
#include "lattice/error.h"
#include "quant/hessian_state.h"

namespace nearplane {
namespace {

// Mean square of every row.
std::vector<double> variances(const Matrix<float>& w) {
  std::vector<double> out(static_cast<std::size_t>(w.rows()));
  for (std::int64_t i = 0; i < w.rows(); ++i) {
    for (std::int64_t j = 0; j < w.cols(); ++j) out[i] += static_cast<double>(w(i, j)) * static_cast<double>(w(i, j));
    out[i] /= static_cast<double>(w.cols());
  }
  return out;
}

constexpr double kMassive = 1000;  // times the median: 30 times its root mean square

void record_columns(const Matrix<double>& gram, LayerRecord& record) {
  std::vector<double> living;
  for (std::int64_t j = 0; j < gram.cols(); ++j)
    if (gram(j, j) > 0)
      living.push_back(gram(j, j));
    else
      record.dead.push_back(j);
  if (living.empty()) return;
  const auto middle = living.begin() + std::ssize(living) / 2;
  std::nth_element(living.begin(), middle, living.end());
  for (std::int64_t j = 0; j < gram.cols(); ++j)
    if (gram(j, j) > kMassive * *middle) record.massive.push_back({j, gram(j, j) / *middle});
}

}  // namespace

void check_weights(const Matrix<float>& w, std::int64_t inputs, const std::string& where) {
  if (w.cols() < 1 || w.rows() < 1) fail_input(where, "shape {} x {} is empty", w.rows(), w.cols());
  if (inputs != w.cols()) fail_input(where, "{} columns, but the Gram matrix has {}", w.cols(), inputs);
  for (std::int64_t i = 0; i < w.rows(); ++i)
    for (std::int64_t j = 0; j < w.cols(); ++j)
      if (!std::isfinite(w(i, j))) fail_input(where, "weight ({}, {}) is {}", i, j, w(i, j));
}

Matrix<float> differences(const Matrix<float>& w, const QuantizedTensor& q) {
  auto d = q.decode();
  parallel_for(w.rows(), [&](std::int64_t i) {
    for (std::int64_t j = 0; j < w.cols(); ++j) d(i, j) = w(i, j) - d(i, j);
  });
  return d;
}

double total(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

double certificate(const lattice::Factor& factor, const std::vector<double>& identity,
                   const std::vector<double>& direct, const Matrix<float>& d) {
  double difference = 0, sum = 0;
  for (std::int64_t i = 0; i < d.rows(); ++i) {
    double squares = 0;
    for (const auto j : factor.order) squares += static_cast<double>(d(i, j)) * static_cast<double>(d(i, j));
    const double damped = direct[i] + factor.shift * squares;
    difference += std::abs(identity[i] - damped);
    sum += damped;
  }
  return sum > 0 ? difference / sum : 0.0;
}

double ratio(double error, double norm) { return norm > 0 ? error / norm : 0.0; }

double record_error(const Hessian::State& hessian, const Matrix<float>& w, double error, LayerRecord& record) {
  const auto& factor = hessian.triangle.factor;
  const double norm = total(lattice::row_errors<float>(w.view(), hessian.gram));
  record.error = ratio(error, norm);
  record.limit = ratio(lattice::error_limit(hessian.squared_pivots, variances(w), record.bits_per_weight), norm);
  record.dead_columns = factor.dimension - factor.rank();
  record_columns(hessian.gram, record);
  record.damping = factor.damping;
  record.repairs = factor.repairs;
  return norm;
}

}  // namespace nearplane
