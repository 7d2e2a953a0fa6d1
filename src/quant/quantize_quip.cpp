// rotate W and H -> the step that is best for a sample of rows -> nearest plane -> pack -> measure what was packed.
#include "quant/quantize_quip.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "base/threads.h"
#include "codec/pack.h"
#include "lattice/bound.h"
#include "lattice/error.h"
#include "lattice/nearest_plane.h"
#include "quant/hessian_state.h"
#include "quant/measure.h"

namespace nearplane {
namespace {

constexpr double kCertificateLimit = 1e-3;
constexpr std::int64_t kSampleRows = 128;  // rotated rows are alike: a tile of them stands for all
constexpr int kSearchRounds = 14;

// V H V^T, both triangles, from the lower triangle of H.
Matrix<double> rotate_gram(const Matrix<double>& gram, const Rotation& r) {
  auto h = gram.clone();
  for (std::int64_t i = 0; i < h.rows(); ++i)
    for (std::int64_t j = 0; j < i; ++j) h(j, i) = h(i, j);
  rotate_rows(r, h.view());
  h = transposed(h);
  rotate_rows(r, h.view());
  return h;
}

// U W V^T: products in double, so that the only rounding is that of the result.
Matrix<float> rotate_weights(const Matrix<float>& w, const RotatedTensor::Rotations& rotation) {
  auto wide = Matrix<double>::uninitialized(w.rows(), w.cols());
  std::copy_n(w.data(), w.size(), wide.data());
  rotate_rows(rotation.in, wide.view());
  wide = transposed(wide);
  rotate_rows(rotation.out, wide.view());
  wide = transposed(wide);
  auto out = Matrix<float>::uninitialized(w.rows(), w.cols());
  std::transform(wide.data(), wide.data() + wide.size(), out.data(), [](double x) { return static_cast<float>(x); });
  return out;
}

class QuipSolver {
 public:
  QuipSolver(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options, std::uint64_t seed,
             const std::string& where)
      : w_(w), hessian_(hessian.state()), where_(where) {
    out_.rows = w.rows(), out_.cols = w.cols(), out_.bits = static_cast<int>(options.bits), out_.seed = seed;
    out_.step = 1;
    out_.codes.resize(static_cast<std::size_t>(w.rows() * packed_row_bytes(w.cols(), out_.bits)));
    out_.validate(where);  // sizes, before anything is rotated
    const auto rotation = out_.rotations();
    rotated_ = rotate_weights(w, rotation);
    rotated_hessian_.emplace(rotate_gram(hessian_.gram, rotation.in), options.order, options.damping, where);
  }

  // With the feedback in f32; where the certificate says that is not enough, in double.
  QuantizedLayer solve() {
    const auto& triangle = rotated_hessian_->state().triangle;
    const auto& factor = triangle.factor;
    out_.step = find_step(triangle);
    certify(triangle);
    if (record_.certificate >= kCertificateLimit)
      certify(lattice::factorize<double>(rotated_hessian_->gram(), factor.order, factor.damping));
    record_.rows = w_.rows(), record_.cols = w_.cols(), record_.bits = out_.bits;
    QuantizedLayer out{std::move(out_), std::move(record_)};
    out.record.bits_per_weight = out.tensor.bits_per_weight();
    const auto d = differences(w_, out.tensor);
    const double norm =
        record_error(hessian_, w_, total(lattice::row_errors<double>(d.view(), hessian_.gram)), out.record);
    out.record.damping = factor.damping, out.record.repairs = factor.repairs;
    out.record.bound = ratio(lattice::error_bound(factor, grid(w_.rows())), norm);
    out.record.expectation = out.record.bound / 3;
    return out;
  }

 private:
  lattice::Grid grid(std::int64_t rows) const {
    lattice::Grid grid{.group = w_.cols(), .max_code = (1 << out_.bits) - 1, .step = {rows, 1}, .zero = {rows, 1}};
    std::fill_n(grid.step.data(), rows, out_.step);
    std::fill_n(grid.zero.data(), rows, static_cast<float>(grid.max_code) / 2);
    return grid;
  }

  // The step with the least error of nearest plane on the first rows, by golden sections of its logarithm: clipping on
  // one side, coarse levels on the other, one valley in between.
  template <class T>
  float find_step(const lattice::Triangle<T>& l) {
    const auto sample = rotated_.view().rows_at(0, std::min(kSampleRows, w_.rows()));
    double square = 0;
    for (const float x : rotated_.span()) square += static_cast<double>(x) * static_cast<double>(x);
    const double rms = std::sqrt(square / static_cast<double>(w_.size()));
    if (rms == 0) return kLeastRotatedStep;
    Matrix<std::uint8_t> codes(sample.rows, sample.cols);
    const auto error = [&](double log_step) {
      set_step(std::exp2(log_step));
      return total(lattice::nearest_plane(sample, l, grid(sample.rows), codes.view()).error);
    };
    // The least and the largest range tried: 1 and 8 root mean squares to either side.
    double low = std::log2(2 * rms / ((1 << out_.bits) - 1)), high = low + 3;
    constexpr double kGolden = 0.6180339887498949;
    double a = high - kGolden * (high - low), b = low + kGolden * (high - low), at_a = error(a), at_b = error(b);
    for (int round = 0; round < kSearchRounds; ++round) {
      if (at_a <= at_b) {
        high = b, b = a, at_b = at_a, a = high - kGolden * (high - low), at_a = error(a);
      } else {
        low = a, a = b, at_a = at_b, b = low + kGolden * (high - low), at_b = error(b);
      }
    }
    set_step(std::exp2(at_a <= at_b ? a : b));
    return out_.step;
  }

  void set_step(double step) {
    if (!(step >= static_cast<double>(kLeastRotatedStep) && step <= static_cast<double>(kLargestRotatedStep)))
      fail_input(where_, "its weights would need steps of {:.3g}, outside {:.3g} to {:.3g}", step, kLeastRotatedStep,
                 kLargestRotatedStep);
    out_.step = static_cast<float>(step);
  }

  template <class T>
  void certify(const lattice::Triangle<T>& l) {
    Matrix<std::uint8_t> codes(w_.rows(), w_.cols());
    const auto outcome = lattice::nearest_plane(rotated_.view(), l, grid(w_.rows()), codes.view());
    const auto row_bytes = packed_row_bytes(w_.cols(), out_.bits);
    auto d = Matrix<float>::uninitialized(w_.rows(), w_.cols());
    parallel_for(w_.rows(), [&](std::int64_t r) {
      pack_row({codes.row(r), static_cast<std::size_t>(w_.cols())}, out_.bits, out_.codes.data() + r * row_bytes);
      out_.decode_rotated(r, 1, d.row(r));
      for (std::int64_t j = 0; j < w_.cols(); ++j) d(r, j) = rotated_(r, j) - d(r, j);
    });
    record_.clipped_share = static_cast<double>(outcome.clipped) / static_cast<double>(w_.size());
    record_.certificate =
        certificate(l.factor, outcome.error, lattice::row_errors<double>(d.view(), rotated_hessian_->gram()), d);
  }

  const Matrix<float>& w_;
  const Hessian::State& hessian_;
  const std::string& where_;
  RotatedTensor out_;
  Matrix<float> rotated_;                   // U W V^T
  std::optional<Hessian> rotated_hessian_;  // of V H V^T
  LayerRecord record_;
};

}  // namespace

QuantizedLayer quantize_quip(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                             std::uint64_t seed, const std::string& where) {
  check_search(options, where);
  check_weights(w, hessian.gram().cols(), where);
  return QuipSolver(w, hessian, options, seed, where).solve();
}

}  // namespace nearplane
