#include "pipeline/mixing.h"

#include <array>

#include "base/check.h"
#include "lattice/error.h"
#include "pipeline/look_ahead.h"
#include "quant/bit_budget.h"
#include "quant/measure.h"
#include "quant/quantize_linear.h"

namespace nearplane {
namespace {

constexpr std::array kBits{2, 3, 4, 5, 8};
constexpr std::int64_t kRows = 128;  // of a layer that are tried

// Bytes and predicted KL of one layer at each of kBits.
struct Curve {
  std::string name;
  std::int64_t weights = 0;
  std::array<BitChoice, kBits.size()> choices;
};

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

Curve try_bits(const LayerAhead& layer, const std::vector<double>& f, GridOptions grid) {
  grid.solver = Solver::nearest_plane;
  grid.alternate = 0;
  const auto sample = sample_rows(layer.w, f);
  Curve curve{.name = layer.name, .weights = layer.w.size(), .choices = {}};
  for (std::size_t b = 0; b < kBits.size(); ++b) {
    grid.bits = kBits[b];
    const auto q = quantize_linear(sample.w, &layer.hessian, grid, layer.where).tensor;
    const double felt = felt_error(sample, q, layer.hessian.gram()) * sample.factor;
    curve.choices[b] = {.bits = kBits[b],
                        .bytes = q.stored_bytes() / q.rows() * layer.w.rows(),
                        .cost = 0.5 * felt / static_cast<double>(layer.tokens)};
  }
  return curve;
}

Json json_of(const Curve& curve) {
  Json bytes = Json::array(), cost = Json::array();
  for (const auto& choice : curve.choices) bytes.push_back(choice.bytes), cost.push_back(choice.cost);
  return {{"name", curve.name}, {"weights", curve.weights}, {"bytes", bytes}, {"cost", cost}};
}

Curve curve_of(const Json& json) {
  Curve curve{.name = json.at("name"), .weights = json.at("weights"), .choices = {}};
  for (std::size_t b = 0; b < kBits.size(); ++b)
    curve.choices[b] = {.bits = kBits[b], .bytes = json.at("bytes").at(b), .cost = json.at("cost").at(b)};
  return curve;
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
                                          Journal& journal, Observer& observer) {
  const auto ahead = look_ahead(model, network, windows, options, journal, observer,
                                [&](const LayerAhead& layer, const std::vector<double>& f) {
                                  auto curve = json_of(try_bits(layer, f, options.grid));
                                  curve["opens_unit"] = layer.opens_stage || options.mix_apart;
                                  return curve;
                                });
  std::vector<std::vector<Curve>> units;
  for (const auto& layer : ahead.layers) {
    if (layer.at("opens_unit")) units.emplace_back();
    units.back().push_back(curve_of(layer));
  }
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
