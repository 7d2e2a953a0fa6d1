#include "pipeline/mixing.h"

#include <array>

#include "base/check.h"
#include "base/process.h"
#include "calib/sensitivity.h"
#include "lattice/error.h"
#include "pipeline/stage_walk.h"
#include "quant/bit_budget.h"
#include "quant/measure.h"
#include "quant/quantize_linear.h"

namespace nearplane {
namespace {

constexpr std::array kBits{2, 3, 4, 5, 8};
constexpr std::int64_t kMixingTokens = 8192;  // whole windows; with more the choice hardly changes
constexpr std::int64_t kRows = 128;           // of a layer that are tried

// Bytes and predicted KL of one layer at each of kBits.
struct Curve {
  std::string name;
  std::int64_t weights = 0;
  std::array<BitChoice, kBits.size()> choices;
};

std::span<const Window> first_windows(std::span<const Window> windows) {
  std::int64_t tokens = 0;
  std::size_t count = 0;
  while (count < windows.size() && (count == 0 || tokens + std::ssize(windows[count]) <= kMixingTokens))
    tokens += std::ssize(windows[count++]);
  return windows.first(count);
}

double square(const float* row, std::int64_t n) {
  double sum = 0;
  for (std::int64_t j = 0; j < n; ++j) sum += static_cast<double>(row[j]) * static_cast<double>(row[j]);
  return sum;
}

// An even sample of rows, and by what their weight f |w|^2 has to be multiplied to be that of all.
struct Sample {
  Matrix<float> w;
  std::vector<double> f;
  double factor = 1;
};

Sample sample_rows(const Matrix<float>& w, const std::vector<double>& f) {
  const auto rows = std::min(kRows, w.rows());
  Sample out{Matrix<float>::uninitialized(rows, w.cols()), {}};
  double all = 0, sampled = 0;
  for (std::int64_t i = 0; i < w.rows(); ++i) all += f[i] * square(w.row(i), w.cols());
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto i = r * w.rows() / rows;
    std::copy_n(w.row(i), w.cols(), out.w.row(r));
    out.f.push_back(f[i]);
    sampled += f[i] * square(w.row(i), w.cols());
  }
  if (sampled > 0) out.factor = all / sampled;
  return out;
}

// sum_i f_i E_i of the sampled rows.
double felt_error(const Sample& sample, const QuantizedTensor& q, const Matrix<double>& gram) {
  const auto errors = lattice::row_errors<double>(differences(sample.w, q).view(), gram);
  double sum = 0;
  for (std::size_t i = 0; i < errors.size(); ++i) sum += sample.f[i] * errors[i];
  return sum;
}

Curve try_bits(const Matrix<float>& w, const std::vector<double>& f, const Hessian& hessian, std::int64_t tokens,
               GridOptions grid, const std::string& where) {
  grid.solver = Solver::nearest_plane;
  grid.alternate = 0;
  const auto sample = sample_rows(w, f);
  Curve curve{.name = {}, .weights = w.size(), .choices = {}};
  for (std::size_t b = 0; b < kBits.size(); ++b) {
    grid.bits = kBits[b];
    const auto q = quantize_linear(sample.w, &hessian, grid, where).tensor;
    const double felt = felt_error(sample, q, hessian.gram()) * sample.factor;
    curve.choices[b] = {.bits = kBits[b],
                        .bytes = q.stored_bytes() / q.rows() * w.rows(),
                        .cost = 0.5 * felt / static_cast<double>(tokens)};
  }
  return curve;
}

// The curves of the layers of every unit.
std::vector<std::vector<Curve>> all_curves(const std::shared_ptr<const Model>& model, std::span<const Window> windows,
                                           const Sensitivity& sensitivity, const QuantizeOptions& options,
                                           Observer& observer) {
  std::vector<std::vector<Curve>> units;
  Stopwatch watch;
  StageWalk walk(model, windows, options.arithmetic, false, observer);
  const auto blocks = model->config().layers;
  for (std::int64_t i = 0; i < blocks; ++i) {
    walk.next_block([&](Block& block, StageWalk::Kinds kinds, const Gram& gram, const DriftGram*) {
      const Hessian hessian(gram.total(), options.grid.order, options.grid.damping,
                            linear_name(block.index, kinds.front()));
      auto& unit = units.emplace_back();
      for (const auto kind : kinds) {
        const auto name = linear_name(block.index, kind), tensor = name + ".weight";
        unit.push_back(try_bits(model->decode_matrix(tensor), sensitivity.at(name), hessian, gram.tokens(),
                                options.grid, model->tensor(tensor).where()));
        unit.back().name = name;
      }
    });
    observer.on_progress({"try bits", fmt::format("block {}", i), i + 1, blocks, -1,
                          watch.seconds() / static_cast<double>(i + 1) * static_cast<double>(blocks - i - 1),
                          resident_bytes()});
  }
  return units;
}

std::vector<BitChoice> sum_of(const std::vector<Curve>& unit) {
  std::vector<BitChoice> out(kBits.size());
  for (const auto& curve : unit)
    for (std::size_t b = 0; b < kBits.size(); ++b) {
      out[b].bits = kBits[b];
      out[b].bytes += curve.choices[b].bytes;
      out[b].cost += curve.choices[b].cost;
    }
  return out;
}

}  // namespace

std::map<std::string, LayerBits> mix_bits(const std::shared_ptr<const Model>& model, const Network& network,
                                          std::span<const Window> windows, const QuantizeOptions& options,
                                          Observer& observer) {
  const auto few = first_windows(windows);
  const auto sensitivity = output_sensitivity(
      network, few, {.seed = options.calibration.seed, .compute = compute_of(options.arithmetic)}, observer);
  const auto units = all_curves(model, few, sensitivity, options, observer);
  std::vector<std::vector<BitChoice>> choices;
  double weights = 0, least = 0, most = 0;
  for (const auto& unit : units) {
    choices.push_back(sum_of(unit));
    least += static_cast<double>(choices.back().front().bytes),
        most += static_cast<double>(choices.back().back().bytes);
    for (const auto& curve : unit) weights += static_cast<double>(curve.weights);
  }
  const double budget = options.mix * weights / 8;
  if (budget < least || budget > most)
    fail_input("mix", "{} bits per weight are out of reach: {} to {} bits with these groups are {:.4f} to {:.4f}",
               options.mix, kBits.front(), kBits.back(), 8 * least / weights, 8 * most / weights);
  const auto chosen = share_bits(choices, static_cast<std::int64_t>(budget));
  std::map<std::string, LayerBits> out;
  for (std::size_t u = 0; u < units.size(); ++u)
    for (const auto& curve : units[u]) out[curve.name] = {curve.choices[chosen[u]].bits, curve.choices[chosen[u]].cost};
  return out;
}

}  // namespace nearplane
