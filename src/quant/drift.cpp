#include "quant/drift.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/threads.h"
#include "kernel/gemm.h"
#include "lattice/error.h"
#include "lattice/factor.h"
#include "lattice/solve.h"
#include "quant/measure.h"

namespace nearplane {
namespace {

constexpr std::int64_t kRows = 64;  // of a task

// body(first row, rows) for tasks of kRows rows.
template <class F>
void each_tile(std::int64_t rows, const F& body) {
  parallel_for((rows + kRows - 1) / kRows, [&](std::int64_t tile) {
    const auto r0 = tile * kRows;
    body(r0, std::min(kRows, rows - r0));
  });
}

}  // namespace

struct DriftCorrection::State {
  const Matrix<double>& gram;
  const DriftSums sums;
  lattice::Triangle<double> triangle;

  // Rows of w times (X^^T D)^T: the right-hand sides X^^T D w.
  Matrix<double> crossed(MatrixView<const float> w) const {
    const auto n = w.cols;
    auto wide = Matrix<double>::uninitialized(w.rows, n), out = Matrix<double>::uninitialized(w.rows, n);
    for (std::int64_t r = 0; r < w.rows; ++r) std::copy_n(w.row(r), n, wide.row(r));
    gemm_nt(w.rows, n, n, 1.0, wide.data(), n, sums.cross.data(), n, 0.0, out.data(), n);
    return out;
  }
};

DriftCorrection::DriftCorrection(const Hessian& hessian, const DriftSums& sums, const std::string& where)
    : state_(std::make_unique<State>(State{hessian.gram(), sums, {}})) {
  for (std::int64_t i = 0; i < sums.cross.rows(); ++i)
    for (std::int64_t j = 0; j < sums.cross.cols(); ++j)
      if (!std::isfinite(sums.cross(i, j)) || (j <= i && !std::isfinite(sums.squares(i, j))))
        throw Error(ErrorCode::numerical, fmt::format("entry ({}, {}) of the sums of drift is not finite", i, j),
                    where);
  state_->triangle = lattice::factorize<double>(state_->gram, hessian.factor().order, hessian.factor().damping);
}

DriftCorrection::~DriftCorrection() = default;

double fitted_strength(double explained, std::int64_t tokens, std::int64_t inputs) {
  if (tokens <= inputs) return 0;
  const auto t = static_cast<double>(tokens), n = static_cast<double>(inputs);
  return std::clamp(1 - (1 - explained) * t / (t - n), 0.0, 1.0);
}

DriftTarget DriftCorrection::target(const Matrix<float>& w, const DriftOptions& options,
                                    const std::string& where) const {
  check_weights(w, state_->gram.cols(), where);
  const auto& factor = state_->triangle.factor;
  DriftTarget out{Matrix<float>(w.rows(), w.cols())};  // holds d first
  std::vector<double> removed(static_cast<std::size_t>(w.rows()));
  each_tile(w.rows(), [&](std::int64_t r0, std::int64_t rows) {
    const auto b = state_->crossed(w.view().rows_at(r0, rows));
    auto d = Matrix<double>::uninitialized(rows, factor.rank());
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t k = 0; k < d.cols(); ++k) d(r, k) = b(r, factor.order[k]);
    lattice::solve_rows(d.view(), state_->triangle);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t k = 0; k < d.cols(); ++k) {
        // ||D w||^2 - ||D w - X^ d||^2 = 2 d.b - d^T H d, where (H + shift) d = b
        removed[r0 + r] += d(r, k) * b(r, factor.order[k]) + factor.shift * d(r, k) * d(r, k);
        out.w(r0 + r, factor.order[k]) = static_cast<float>(d(r, k));
      }
  });
  const double drift = total(lattice::row_errors<float>(w.view(), state_->sums.squares));
  out.explained = drift > 0 ? total(removed) / drift : 1.0;
  out.strength = options.fitted ? fitted_strength(out.explained, state_->sums.tokens, factor.rank()) : options.strength;
  const auto a = static_cast<float>(out.strength);
  for (std::int64_t i = 0; i < w.size(); ++i) out.w.data()[i] = w.data()[i] + a * out.w.data()[i];
  return out;
}

double DriftCorrection::output_error(const Matrix<float>& w, const QuantizedTensor& q) const {
  auto e = q.decode();
  std::vector<double> crossed_w(static_cast<std::size_t>(w.rows())), crossed_e(static_cast<std::size_t>(w.rows()));
  each_tile(w.rows(), [&](std::int64_t r0, std::int64_t rows) {
    const auto b = state_->crossed(w.view().rows_at(r0, rows));
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t j = 0; j < w.cols(); ++j) {
        auto& difference = e(r0 + r, j);
        difference = w(r0 + r, j) - difference;
        crossed_w[r0 + r] += b(r, j) * static_cast<double>(w(r0 + r, j));
        crossed_e[r0 + r] += b(r, j) * static_cast<double>(difference);
      }
  });
  // X w - X^ q = X^ (w - q) + D w, and X w = X^ w + D w.
  const double drift = total(lattice::row_errors<float>(w.view(), state_->sums.squares));
  const double error = total(lattice::row_errors<double>(e.view(), state_->gram)) + 2 * total(crossed_e) + drift;
  const double norm = total(lattice::row_errors<float>(w.view(), state_->gram)) + 2 * total(crossed_w) + drift;
  return norm > 0 ? error / norm : 0.0;
}

}  // namespace nearplane
