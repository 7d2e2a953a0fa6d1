#include "quant/quantize_coded.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/check.h"
#include "lattice/error.h"
#include "quant/coded_rate.h"
#include "quant/coded_steps.h"
#include "quant/hessian_state.h"
#include "quant/measure.h"

namespace nearplane {
namespace {

constexpr double kCertificateLimit = 1e-3;
class CodedSolver {
 public:
  CodedSolver(const Matrix<float>& w, const Hessian::State& hessian, const GridOptions& options, const CodedGoal& goal,
              const std::string& where)
      : w_(w),
        hessian_(hessian),
        options_(options),
        goal_(goal),
        steps_(choose_steps(w, hessian.triangle.factor, options, goal.row_sensitivity)),
        where_(where) {
    out_.rows = w.rows(), out_.cols = w.cols();
    out_.row_steps = steps_.row, out_.column_steps = steps_.column;
  }

  // With the feedback in f32; where the certificate says that is not enough, in double.
  QuantizedLayer solve() {
    const auto& factor = hessian_.triangle.factor;
    certify(hessian_.triangle);
    if (record_.certificate >= kCertificateLimit)
      certify(lattice::factorize<double>(hessian_.gram, factor.order, factor.damping));
    rescale();
    record_.rows = w_.rows(), record_.cols = w_.cols();
    QuantizedLayer out{std::move(out_), std::move(record_)};
    out.record.bits_per_weight = out.tensor.bits_per_weight();
    record_error(hessian_, w_, error_, out.record);
    if (!goal_.row_sensitivity.empty())
      out.record.predicted_kl =
          std::inner_product(direct_.begin(), direct_.end(), goal_.row_sensitivity.begin(), 0.0) / 2;
    return out;
  }

 private:
  template <class T>
  void certify(const lattice::Triangle<T>& l) {
    auto found = rate(multiply_by_steps(l, steps_));
    keep(std::move(found.stream), found.step / steps_.model.trellis.points_per_step());
    // Error coordinates of a row are in units of its step.
    for (std::size_t i = 0; i < found.outcome.error.size(); ++i) {
      const double r = steps_.row.empty() ? found.step : found.step * static_cast<double>(step_scale(steps_.row[i]));
      found.outcome.error[i] *= r * r;
    }
    const auto d = differences(w_, out_);
    direct_ = lattice::row_errors<double>(d.view(), hessian_.gram);
    record_.certificate = certificate(l.factor, found.outcome.error, direct_, d);
    error_ = total(direct_);
  }

  template <class T>
  RatedLevels rate(const lattice::Triangle<T>& l) const {
    const auto unit = divide_by_steps(w_, steps_);
    const bool trellis = steps_.model.trellis.states > 1;
    const RateProblem<T> problem{.unit = unit.view(),
                                 .l = l,
                                 .model = steps_.model,
                                 .survivors = trellis ? options_.survivors : 1,
                                 .other_bytes = static_cast<std::int64_t>(sizeof out_.step) + std::ssize(steps_.row) +
                                                std::ssize(steps_.column)};
    return goal_.step > 0 ? levels_with(problem, goal_.step * steps_.unit, where_)
                          : levels_at(problem, options_.bits, where_);
  }

  void keep(std::vector<std::byte> stream, double step) {
    out_.levels.emplace(std::move(stream), steps_.model.column, where_);
    set_step(step);
  }

  void set_step(double step) {
    out_.step = static_cast<float>(step);
    if (!(step >= static_cast<double>(kLeastStep) && step <= static_cast<double>(kLargestStep)))
      fail_input(where_, "its weights would need steps of {:.3g}, outside {:.3g} to {:.3g}", step, kLeastStep,
                 kLargestStep);
  }

  // The factor s of all steps with the least error for these levels: <Q, W> / <Q, Q> under H and the rows' weights.
  // By polarisation, <Q, W> = (|Q|^2 + |W|^2 - |W - Q|^2) / 2; then, with W - sQ = (W - Q) + (1 - s) Q, the new error
  // is a small correction of the old one, for which f32 is enough.
  void rescale() {
    auto q = Matrix<float>::uninitialized(w_.rows(), w_.cols());
    const auto d = differences(w_, out_);
    for (std::int64_t i = 0; i < q.size(); ++i) q.data()[i] = w_.data()[i] - d.data()[i];
    const auto of_q = lattice::row_errors<float>(q.view(), hessian_.gram);
    const auto of_w = lattice::row_errors<float>(w_.view(), hessian_.gram);
    double product = 0, square = 0;
    for (std::size_t i = 0; i < of_q.size(); ++i) {
      const double r = steps_.row.empty() ? 1.0 : static_cast<double>(step_scale(steps_.row[i]));
      product += (of_q[i] + of_w[i] - direct_[i]) / 2 / (r * r), square += of_q[i] / (r * r);
    }
    if (!(square > 0)) return;
    const double before = static_cast<double>(out_.step);
    set_step(before * product / square);
    const double less = 1 - static_cast<double>(out_.step) / before;
    for (std::size_t i = 0; i < of_q.size(); ++i)
      direct_[i] += less * (of_w[i] - direct_[i] - of_q[i]) + less * less * of_q[i];
    error_ = total(direct_);
  }

  const Matrix<float>& w_;
  const Hessian::State& hessian_;
  const GridOptions& options_;
  const CodedGoal& goal_;
  const CodedSteps steps_;
  const std::string& where_;
  CodedTensor out_;
  LayerRecord record_;
  std::vector<double> direct_;  // error of each row under the undamped H
  double error_ = 0;
};

}  // namespace

bool is_coded(Method method) {
  return method == Method::hptq || method == Method::watersic || method == Method::trellis;
}

void check_coded(const GridOptions& options, const std::string& where) {
  constexpr std::array kSurvivors{1, 2, 4, 8};
  if (!(options.bits > 0 && options.bits <= kMostBits))
    fail_input(where, "{} bits per weight are out of reach: more than 0 and at most {} are not", options.bits,
               kMostBits);
  if (options.states == 1 || find_trellis(options.states) == nullptr)
    fail_input(where, "a trellis of {} states is not one of 4, 8 or 16", options.states);
  if (std::find(kSurvivors.begin(), kSurvivors.end(), options.survivors) == kSurvivors.end())
    fail_input(where, "{} survivors are not 1, 2, 4 or 8", options.survivors);
}

QuantizedLayer quantize_coded(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                              const CodedGoal& goal, const std::string& where) {
  check_coded(options, where);
  const auto& state = hessian.state();
  check_weights(w, state.gram.cols(), where);
  return CodedSolver(w, state, options, goal, where).solve();
}

}  // namespace nearplane
