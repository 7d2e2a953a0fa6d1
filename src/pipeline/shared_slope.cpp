#include "pipeline/shared_slope.h"

#include "base/check.h"
#include "quant/coded_rate.h"
#include "quant/quantize_coded.h"

namespace nearplane {
namespace {

constexpr double kLeastBits = 0.5;  // of the last layer, to be met exactly

Json json_of(const LayerWidths& widths) {
  return {{"kind", widths.kind},
          {"weights", widths.weights},
          {"other_bits", widths.other_bits},
          {"lowest", widths.lowest},
          {"count", widths.count}};
}

LayerWidths widths_of(const Json& json) {
  return {.kind = json.at("kind"),
          .weights = json.at("weights"),
          .other_bits = json.at("other_bits"),
          .lowest = json.at("lowest"),
          .count = json.at("count")};
}

// What a squared error costs in nats per token, for errors under a sum over tokens.
std::vector<double> felt(std::vector<double> f, std::int64_t tokens) {
  for (auto& value : f) value /= static_cast<double>(tokens);
  return f;
}

}  // namespace

SharedSlope::SharedSlope(const std::shared_ptr<const Model>& model, const Network& network,
                         std::span<const Window> windows, const QuantizeOptions& options, Journal& journal,
                         Observer& observer) {
  auto ahead = look_ahead(
      model, network, windows, options, journal, observer, [&](const LayerAhead& layer, const std::vector<double>& f) {
        const auto steps = choose_steps(layer.w, layer.hessian.factor(), options.grid, felt(f, layer.tokens));
        return json_of(nearplane::widths_of(layer.w, steps, static_cast<int>(layer.kind)));
      });
  sensitivity_ = std::move(ahead.f);
  std::vector<LayerWidths> layers;
  double least = 0, weights = 0;
  for (const auto& layer : ahead.layers) {
    layers.push_back(widths_of(layer));
    least += layers.back().other_bits, weights += static_cast<double>(layers.back().weights);
  }
  if (options.grid.bits < least / weights)
    fail_input("bits", "{} bits per weight are out of reach of this model: {:.3f} to {} are not", options.grid.bits,
               least / weights, kMostBits);
  plan_.emplace(std::move(layers), options.grid.bits, options.grid.method == Method::trellis ? options.grid.states : 1);
}

QuantizedLayer SharedSlope::quantize(const std::string& name, const Matrix<float>& w, const Hessian& hessian,
                                     std::int64_t tokens, GridOptions grid, const std::string& where) {
  const auto f = felt(sensitivity_.at(name), tokens);
  CodedGoal goal{.row_sensitivity = f, .step = plan_->step()};
  if (plan_->bits_left() >= kLeastBits && plan_->bits_left() <= kMostBits)
    grid.bits = plan_->bits_left(), goal.step = 0;
  auto out = quantize_coded(w, hessian, grid, goal, where);
  plan_->done(out.record.bits_per_weight);
  return out;
}

}  // namespace nearplane
