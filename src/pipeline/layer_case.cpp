#include "pipeline/layer_case.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/rng.h"
#include "calib/self_written.h"
#include "runtime/network.h"

namespace nearplane {
namespace {

constexpr double kDamping = 0.01;

// Columns `order` of x, and sqrt(lambda mean |x_j|^2) I below.
Matrix<double> damped(MatrixView<const double> x, const std::vector<std::int64_t>& order) {
  const auto n = std::ssize(order);
  Matrix<double> out(x.rows + n, n);
  double sum = 0;
  for (std::int64_t t = 0; t < x.rows; ++t)
    for (std::int64_t j = 0; j < n; ++j) out(t, j) = x(t, order[j]), sum += out(t, j) * out(t, j);
  for (std::int64_t j = 0; j < n; ++j) out(x.rows + j, j) = std::sqrt(kDamping * sum / static_cast<double>(n));
  return out;
}

Matrix<float> gaussian_weights(std::int64_t rows, std::int64_t columns, Rng& rng) {
  Matrix<float> w(rows, columns);
  for (auto& value : w.span()) value = static_cast<float>(rng.normal());
  return w;
}

Matrix<double> common_and_noise(std::int64_t rows, std::int64_t columns, Rng& rng) {
  Matrix<double> x(rows, columns);
  for (std::int64_t t = 0; t < rows; ++t) {
    const double common = rng.normal();
    for (std::int64_t j = 0; j < columns; ++j) x(t, j) = common + rng.normal();
  }
  return x;
}

struct Place {
  std::int64_t block;
  LinearKind kind;
};

Place find_layer(const ModelConfig& config, const std::string& name, const std::string& where) {
  if (name.empty()) return {0, LinearKind::q};
  for (std::int64_t block = 0; block < config.layers; ++block)
    for (const auto kind : kLinearKinds)
      if (name == linear_name(block, kind)) return {block, kind};
  fail_input(where, "has no layer '{}'; the last of its {} blocks has, for example, '{}'", name, config.layers,
             linear_name(config.layers - 1, LinearKind::down));
}

// Inputs [T, in] of the layer, every layer before it as the network has it.
Matrix<float> inputs_of(const Network& network, const Place& place, const std::vector<Window>& windows) {
  const auto& config = network.config();
  std::vector<std::int64_t> lengths;
  std::vector<Token> tokens;
  for (const auto& window : windows) {
    lengths.push_back(std::ssize(window));
    tokens.insert(tokens.end(), window.begin(), window.end());
  }
  const auto total = std::ssize(tokens);
  Matrix<float> x(total, config.hidden), h(total, config.hidden);
  embed(*network.weights, tokens, x.view());
  for (std::int64_t i = 0; i < place.block; ++i)
    forward_block(load_block(*network.weights, i, Compute::f32), config, lengths, x.view(), {});

  const auto block = load_block(*network.weights, place.block, Compute::f32);
  rms_norm(x.view(), block.attention_norm, config.rms_eps, h.view());
  if (place.kind <= LinearKind::v) return h;
  Matrix<float> a(total, config.heads * config.head_dim);
  attend(block, config, lengths, h.view(), a.view(), {});
  if (place.kind == LinearKind::o) return a;
  add_attention(block, a.view(), x.view());
  rms_norm(x.view(), block.mlp_norm, config.rms_eps, h.view());
  if (place.kind != LinearKind::down) return h;
  Matrix<float> m(total, config.intermediate);
  gate_up(block, h.view(), m.view());
  return m;
}

// The first n columns by decreasing sum of squares, those that are always zero left out.
std::vector<std::int64_t> act_order(const Matrix<float>& x, std::int64_t n) {
  std::vector<double> squares(static_cast<std::size_t>(n));
  for (std::int64_t t = 0; t < x.rows(); ++t)
    for (std::int64_t j = 0; j < n; ++j) squares[j] += static_cast<double>(x(t, j)) * static_cast<double>(x(t, j));
  std::vector<std::int64_t> order;
  for (std::int64_t j = 0; j < n; ++j)
    if (squares[j] > 0) order.push_back(j);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return squares[a] > squares[b]; });
  return order;
}

}  // namespace

LayerCase random_case(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Rng rng(seed);
  auto x = common_and_noise(2 * columns, columns, rng);
  std::vector<std::int64_t> order(static_cast<std::size_t>(columns));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t j = 0; j < columns; ++j) {
    const double size = std::exp(3 * rng.uniform());
    for (std::int64_t t = 0; t < x.rows(); ++t) x(t, j) *= size;
  }
  return {"random layer", damped(x.view(), order), gaussian_weights(rows, columns, rng)};
}

LayerCase paired_case(std::int64_t rows, std::int64_t columns, int digits, std::uint64_t seed) {
  Rng rng(seed);
  auto x = common_and_noise(2 * columns, columns, rng);
  for (std::int64_t t = 0; t < x.rows(); ++t)
    for (std::int64_t j = 1; j < columns; j += 2) x(t, j) = x(t, j - 1) + std::pow(10.0, -digits) * x(t, j);
  return {"ill-conditioned layer", std::move(x), gaussian_weights(rows, columns, rng)};
}

LayerCase model_case(const ProveOptions& options, Observer& observer) {
  const auto network = open_network(options.model);
  const auto place = find_layer(network.config(), options.layer, options.model.string());
  const auto windows = options.calibration.files.empty()
                           ? write_windows(network, options.calibration, Compute::f32, observer)
                           : calibration_windows(options.calibration, *network.tokenizer, observer);
  const auto name = linear_name(place.block, place.kind);
  const auto inputs = inputs_of(network, place, windows);
  const auto weights = network.weights->rows(name + ".weight");
  const auto rows = std::min(options.rows, weights->rows());
  const auto order = act_order(inputs, std::min(options.columns, inputs.cols()));
  if (order.empty()) fail_input(name, "its first {} inputs are always zero", std::min(options.columns, inputs.cols()));
  Matrix<float> whole(rows, weights->cols()), w(rows, std::ssize(order));
  weights->decode(0, rows, whole.data());
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < w.cols(); ++j) w(i, j) = whole(i, order[j]);
  Matrix<double> wide(inputs.rows(), inputs.cols());
  std::copy_n(inputs.data(), inputs.size(), wide.data());
  return {name, damped(wide.view(), order), std::move(w)};
}

}  // namespace nearplane
