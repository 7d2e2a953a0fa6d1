#include "quant/rate_plan.h"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>

#include "lattice_problem.h"
#include "quant/quantize_coded.h"

namespace nearplane {
namespace {

GridOptions trellis_options() {
  GridOptions o;
  o.method = Method::trellis, o.states = 4;
  return o;
}

// Layers of unlike size, inputs and sensitivity.
struct Layers {
  std::vector<Matrix<float>> w;
  std::deque<Hessian> hessians;
  std::vector<std::vector<double>> f;

  Layers() {
    for (int l = 0; l < 6; ++l) {
      w.push_back(random_weights(160 + 32 * l, 96, static_cast<std::uint64_t>(l)));
      hessians.emplace_back(random_gram(96, 300, static_cast<std::uint64_t>(10 + l)), Order::natural, 0.01, "h");
      f.emplace_back();
      for (std::int64_t i = 0; i < w.back().rows(); ++i) f.back().push_back(std::exp2(i % 3 - 2 * l));
    }
  }
  LayerWidths widths(std::size_t l) const {
    return widths_of(w[l], choose_steps(w[l], hessians[l].factor(), trellis_options(), f[l]), static_cast<int>(l % 2));
  }
  double weights() const {
    double sum = 0;
    for (const auto& m : w) sum += static_cast<double>(m.size());
    return sum;
  }
};

struct Outcome {
  double bits = 0, felt = 0;   // per weight, in all
  double first = 0, last = 0;  // bits of those layers
};

Outcome run(const Layers& layers, double bits) {
  std::vector<LayerWidths> widths;
  for (std::size_t l = 0; l < layers.w.size(); ++l) widths.push_back(layers.widths(l));
  RatePlan plan(widths, bits, 4);
  Outcome out;
  for (std::size_t l = 0; l < layers.w.size(); ++l) {
    auto options = trellis_options();
    CodedGoal goal{.row_sensitivity = layers.f[l], .step = plan.step()};
    if (plan.bits_left() > 0) options.bits = plan.bits_left(), goal.step = 0;
    const auto record = quantize_coded(layers.w[l], layers.hessians[l], options, goal, "w").record;
    plan.done(record.bits_per_weight);
    out.bits += record.bits_per_weight * static_cast<double>(layers.w[l].size()) / layers.weights();
    out.felt += record.predicted_kl;
    (l == 0 ? out.first : out.last) = record.bits_per_weight;
  }
  return out;
}

TEST(RatePlan, MeetsItsBudgetAndGivesSensitiveLayersMore) {
  const Layers layers;
  for (const double bits : {2.0, 3.0}) {
    const auto planned = run(layers, bits);
    EXPECT_NEAR(planned.bits, bits, 0.005);
    // Sensitivities fall by four per layer: a bit each.
    EXPECT_NEAR(planned.first - planned.last, bits > 2 ? 5 : 3, 1);
    double equal = 0;
    for (std::size_t l = 0; l < layers.w.size(); ++l) {
      auto options = trellis_options();
      options.bits = bits;
      equal += quantize_coded(layers.w[l], layers.hessians[l], options, {.row_sensitivity = layers.f[l]}, "w")
                   .record.predicted_kl;
    }
    EXPECT_LT(planned.felt, 0.5 * equal);
  }
}

// Against layers that take what they are forecast to, c stays where it is; where they take more, it grows.
TEST(RatePlan, CarriesWhatLayersTookTooMuch) {
  const Layers layers;
  const std::vector<LayerWidths> widths(4, layers.widths(2));
  RatePlan plan(widths, 3, 4);
  const double step = plan.step();
  plan.done(3);
  EXPECT_NEAR(plan.step() / step, 1, 1e-6);
  plan.done(3.2);  // 0.2 too many here, 0.1 too many still to come
  EXPECT_NEAR(std::log2(plan.step() / step), 0.2, 0.03);
  EXPECT_EQ(plan.bits_left(), 0);
  plan.done(3);
  EXPECT_NEAR(plan.bits_left(), 2.8, 1e-9);
}

TEST(RatePlan, TakesLayersOfZeros) {
  const Layers layers;
  const Matrix<float> zero(64, 96);
  const std::vector<double> f(64, 1.0);
  const auto steps = choose_steps(zero, layers.hessians[0].factor(), trellis_options(), f);
  RatePlan plan({widths_of(zero, steps, 0), layers.widths(1)}, 2, 4);
  EXPECT_TRUE(std::isfinite(plan.step()));
  EXPECT_GT(plan.step(), 0);
}

}  // namespace
}  // namespace nearplane
