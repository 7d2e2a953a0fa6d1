#include "quant/coded_steps.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "qtensor/coded_tensor.h"
#include "quant/measure.h"

namespace nearplane {
namespace {

constexpr std::int64_t kRestart = 144;        // columns; costs 0.005 bit, lets readers cut rows into short pieces
constexpr std::int64_t kClassedColumns = 64;  // rows of fewer are not worth the bits of their class
constexpr int kMostClasses = 64;              // 16 octaves of widths
constexpr double kSensitivityDamping = 0.05;  // of the mean

// Bits per weight that equal shares of an error save whose parts are in proportion to `shares` > 0.
double bits_saved(std::span<const double> shares) {
  double sum = 0, logs = 0;
  for (const double share : shares) sum += share, logs += std::log2(share);
  const auto count = static_cast<double>(shares.size());
  return (std::log2(sum / count) - logs / count) / 2;
}

struct Shares {
  std::vector<std::uint8_t> codes;
  double unit = 1;  // what a step of code kUnitStep is, for steps shares^(-1/2)
};

// Codes of steps in proportion to shares^(-1/2), their median the unit; 0 = no share, the unit step.
Shares codes_of(const std::vector<double>& shares) {
  std::vector<double> octaves;
  for (const double share : shares)
    if (share > 0) octaves.push_back(-std::log2(share) / 2);
  const auto middle = octaves.begin() + std::ssize(octaves) / 2;
  std::nth_element(octaves.begin(), middle, octaves.end());
  Shares out{{}, std::exp2(*middle)};
  for (const double share : shares) {
    const double code = share > 0 ? kStepsPerOctave * (-std::log2(share) / 2 - *middle) : 0.0;
    out.codes.push_back(static_cast<std::uint8_t>(std::clamp(std::lround(code) + kUnitStep, 0l, 255l)));
  }
  return out;
}

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Steps that make `shares` of the error equal, if they save more than a byte for each of them costs per weight. Else
// one step for all, of which the mean share is what an equally good step of their own would have.
Shares equal_shares(const std::vector<double>& shares, std::int64_t weights_each) {
  std::vector<double> positive;
  std::copy_if(shares.begin(), shares.end(), std::back_inserter(positive), [](double s) { return s > 0; });
  if (positive.empty()) return {};
  if (bits_saved(positive) <= 8.0 / static_cast<double>(weights_each)) return {{}, 1 / std::sqrt(mean(positive))};
  return codes_of(shares);
}

std::vector<double> damped(std::span<const double> sensitivity) {
  std::vector<double> out(sensitivity.begin(), sensitivity.end());
  for (auto& f : out) f += kSensitivityDamping * mean(sensitivity);
  return out;
}

// Quarters of an octave of the rows' root mean squares in units of their steps; zero rows like the narrowest.
std::vector<int> row_widths(const Matrix<float>& w, const std::vector<std::uint8_t>& row_steps) {
  std::vector<int> out;
  int narrowest = 0;
  for (std::int64_t i = 0; i < w.rows(); ++i) {
    double squares = 0;
    for (std::int64_t j = 0; j < w.cols(); ++j) squares += static_cast<double>(w(i, j)) * static_cast<double>(w(i, j));
    const double r = row_steps.empty() ? 1.0 : static_cast<double>(step_scale(row_steps[static_cast<std::size_t>(i)]));
    const auto width =
        squares > 0 ? std::lround(2 * std::log2(squares / static_cast<double>(w.cols()) / (r * r))) : LONG_MIN;
    out.push_back(static_cast<int>(std::max(width, -100000l)));
    if (squares > 0) narrowest = std::min(narrowest, out.back());
  }
  for (auto& width : out) width = w.cols() < kClassedColumns ? 0 : std::max(width, narrowest);
  return out;
}

LevelModel classes_of(const std::vector<int>& widths, const std::vector<std::uint8_t>& column_steps, std::int64_t cols,
                      int states) {
  LevelModel out;
  out.trellis = *find_trellis(states);
  out.restart = kRestart;
  out.column = column_classes(column_steps, cols);
  const auto [low, high] = std::minmax_element(out.column.begin(), out.column.end());
  const auto [narrow, wide] = std::minmax_element(widths.begin(), widths.end());
  const int span = (*wide - *narrow) + (*high - *low) + 1, cut = std::max(0, span - kMostClasses) / 2;
  out.classes = std::min(span, kMostClasses);
  for (const int width : widths) out.row.push_back(width - *narrow + *high - cut);
  return out;
}

}  // namespace

CodedSteps choose_steps(const Matrix<float>& w, const lattice::Factor& factor, const GridOptions& options,
                        std::span<const double> row_sensitivity) {
  assert(row_sensitivity.empty() || std::ssize(row_sensitivity) == w.rows());
  Shares rows, columns;
  if (!row_sensitivity.empty()) rows = equal_shares(damped(row_sensitivity), w.cols());
  std::vector<double> squares(static_cast<std::size_t>(w.cols()));
  for (std::int64_t k = 0; k < factor.rank(); ++k) squares[factor.order[k]] = factor.pivots[k] * factor.pivots[k];
  if (options.method != Method::hptq)
    columns = equal_shares(squares, w.rows());
  else if (factor.rank() > 0)
    columns.unit = std::sqrt(static_cast<double>(factor.rank()) / total(squares));
  CodedSteps out{std::move(rows.codes), std::move(columns.codes), rows.unit * columns.unit, {}};
  out.model =
      classes_of(row_widths(w, out.row), out.column, w.cols(), options.method == Method::trellis ? options.states : 1);
  return out;
}

Matrix<float> divide_by_steps(const Matrix<float>& w, const CodedSteps& steps) {
  auto out = w.clone();
  for (std::int64_t i = 0; i < w.rows(); ++i)
    for (std::int64_t j = 0; j < w.cols(); ++j) {
      if (!steps.row.empty()) out(i, j) /= step_scale(steps.row[static_cast<std::size_t>(i)]);
      if (!steps.column.empty()) out(i, j) /= step_scale(steps.column[static_cast<std::size_t>(j)]);
    }
  return out;
}

template <class T>
lattice::Triangle<T> multiply_by_steps(const lattice::Triangle<T>& l, const CodedSteps& steps) {
  lattice::Triangle<T> out{l.factor, l.rows.clone()};
  if (steps.column.empty()) return out;
  std::vector<double> a;
  for (const auto j : l.factor.order)
    a.push_back(static_cast<double>(step_scale(steps.column[static_cast<std::size_t>(j)])));
  for (std::int64_t k = 0; k < l.factor.rank(); ++k) {
    out.factor.pivots[k] *= a[k];
    for (std::int64_t j = 0; j < k; ++j)
      out.rows(k, j) = static_cast<T>(static_cast<double>(l.rows(k, j)) * a[j] / a[k]);
  }
  return out;
}

template lattice::Triangle<float> multiply_by_steps(const lattice::Triangle<float>&, const CodedSteps&);
template lattice::Triangle<double> multiply_by_steps(const lattice::Triangle<double>&, const CodedSteps&);

}  // namespace nearplane
