#include "pipeline/calibrated_pass.h"

#include <algorithm>

#include "base/check.h"
#include "base/process.h"
#include "calib/gram.h"
#include "quant/quantize_linear.h"
#include "runtime/network.h"

namespace nearplane {
namespace {

constexpr std::int64_t kChunkTokens = 4096;  // tokens that pass a stage at a time; part of the result's definition

// Progress and time left, counted in layers.
class Meter {
 public:
  Meter(Observer& observer, std::int64_t total) : observer_(observer), total_(total) {}
  void finished(const LayerRecord& record) {
    ++done_;
    observer_.on_progress({"quantize", record.name, done_, total_, record.error,
                           watch_.seconds() / done_ * (total_ - done_), resident_bytes()});
    if (record.repairs > 0)
      observer_.on_message(Severity::warning,
                           fmt::format("{}: damping raised to {:.2g} before the Gram matrix could be "
                                       "factored",
                                       record.name, record.damping));
    check_cancelled();
  }
  void check_cancelled() const {
    if (observer_.cancelled()) throw Error(ErrorCode::cancelled, "quantization stopped");
  }

 private:
  Observer& observer_;
  Stopwatch watch_;
  std::int64_t total_, done_ = 0;
};

FinishedLayer solve(const Model& model, std::int64_t layer, LinearKind kind, const Hessian* hessian,
                    const GridOptions& grid, Meter& meter) {
  Stopwatch watch;
  const auto name = linear_name(layer, kind), tensor = name + ".weight";
  auto result = quantize_linear(model.decode_matrix(tensor), hessian, grid, model.tensor(tensor).where());
  model.release(tensor);
  result.record.name = name;
  result.record.seconds = watch.seconds();
  meter.finished(result.record);
  return {std::make_shared<const QuantizedTensor>(std::move(result.tensor)), std::move(result.record)};
}

// The calibration state of one pass: activations x, and the stored inputs of the two stages that have one.
class CalibratedPass {
 public:
  CalibratedPass(const std::shared_ptr<const Model>& model, std::span<const Window> windows,
                 const QuantizeOptions& options, Observer& observer)
      : model_(model),
        config_(model->config()),
        weights_(weights_of(model)),
        options_(options),
        compute_(compute_of(options.arithmetic)),
        meter_(observer, config_.layers * static_cast<std::int64_t>(kLinearKinds.size())) {
    std::vector<Token> tokens;
    for (const auto& window : windows) {
      lengths_.push_back(std::ssize(window));
      tokens.insert(tokens.end(), window.begin(), window.end());
    }
    const auto total = std::ssize(tokens);
    x_ = Matrix<float>::uninitialized(total, config_.hidden);
    a_ = Matrix<float>::uninitialized(total, config_.heads * config_.head_dim);
    m_ = Matrix<float>::uninitialized(total, config_.intermediate);
    embed(*weights_, tokens, x_.view());
  }

  std::vector<FinishedLayer> quantize_block(std::int64_t index) {
    Block block = open_block(index);
    std::vector<FinishedLayer> layers;

    Gram qkv(config_.hidden, options_.arithmetic);
    each_chunk(
        [&](auto, auto t0, auto count) { qkv.add(normed(block.attention_norm, t0, count), where(index, "q/k/v")); });
    solve_stage(block, qkv, {LinearKind::q, LinearKind::k, LinearKind::v}, layers);

    Gram o(a_.cols(), options_.arithmetic);
    each_chunk([&](auto lengths, auto t0, auto count) {
      attend(block, config_, lengths, normed(block.attention_norm, t0, count), a_.view().rows_at(t0, count), {});
      o.add(a_.view().rows_at(t0, count), where(index, "attention output"));
    });
    solve_stage(block, o, {LinearKind::o}, layers);

    Gram mlp(config_.hidden, options_.arithmetic);
    each_chunk([&](auto, auto t0, auto count) {
      add_attention(block, a_.view().rows_at(t0, count), x_.view().rows_at(t0, count));
      mlp.add(normed(block.mlp_norm, t0, count), where(index, "gate/up"));
    });
    solve_stage(block, mlp, {LinearKind::gate, LinearKind::up}, layers);

    Gram down(m_.cols(), options_.arithmetic);
    each_chunk([&](auto, auto t0, auto count) {
      gate_up(block, normed(block.mlp_norm, t0, count), m_.view().rows_at(t0, count));
      down.add(m_.view().rows_at(t0, count), where(index, "down"));
    });
    solve_stage(block, down, {LinearKind::down}, layers);

    if (index + 1 < config_.layers)
      each_chunk([&](auto, auto t0, auto count) {
        add_mlp(block, m_.view().rows_at(t0, count), x_.view().rows_at(t0, count));
      });
    return layers;
  }

 private:
  // The norms of a block; its linear layers appear as they are quantized.
  Block open_block(std::int64_t index) const {
    Block block = load_block(*weights_, index, compute_);
    for (auto& linear : block.linear) linear.reset();
    return block;
  }

  template <class F>
  void each_chunk(const F& body) const {
    std::int64_t t0 = 0;
    for (std::size_t s = 0; s < lengths_.size();) {
      meter_.check_cancelled();
      std::size_t end = s;
      std::int64_t count = 0;
      while (end < lengths_.size() && (end == s || count + lengths_[end] <= kChunkTokens)) count += lengths_[end++];
      body(std::span(lengths_).subspan(s, end - s), t0, count);
      t0 += count, s = end;
    }
  }

  MatrixView<const float> normed(std::span<const float> weight, std::int64_t t0, std::int64_t count) {
    if (normed_.rows() < count) normed_ = Matrix<float>::uninitialized(count, config_.hidden);
    const auto out = normed_.view().rows_at(0, count);
    rms_norm(x_.view().rows_at(t0, count), weight, config_.rms_eps, out);
    return out;
  }

  void solve_stage(Block& block, const Gram& gram, std::initializer_list<LinearKind> kinds,
                   std::vector<FinishedLayer>& layers) {
    const Hessian hessian(gram.total(), options_.grid.order, options_.grid.damping,
                          linear_name(block.index, *kinds.begin()));
    for (const auto kind : kinds) {
      layers.push_back(solve(*model_, block.index, kind, &hessian, options_.grid, meter_));
      std::vector<float> bias;
      if (linear_has_bias(config_, kind)) bias = weights_->vector(linear_name(block.index, kind) + ".bias");
      block.linear[static_cast<std::size_t>(kind)] =
          make_linear(rows_of(layers.back().tensor), std::move(bias), compute_);
    }
  }

  std::string where(std::int64_t layer, const char* stage) const {
    return fmt::format("{}: block {}, input of {}", model_->path().string(), layer, stage);
  }

  std::shared_ptr<const Model> model_;
  const ModelConfig& config_;
  std::unique_ptr<WeightSource> weights_;
  const QuantizeOptions& options_;
  Compute compute_;
  Meter meter_;
  std::vector<std::int64_t> lengths_;
  Matrix<float> x_, a_, m_, normed_;
};

}  // namespace

void quantize_calibrated(const std::shared_ptr<const Model>& model, std::span<const Window> windows,
                         const QuantizeOptions& options, Observer& observer,
                         const std::function<void(std::int64_t, std::vector<FinishedLayer>&)>& done) {
  CalibratedPass pass(model, windows, options, observer);
  for (std::int64_t i = 0; i < model->config().layers; ++i) {
    auto layers = pass.quantize_block(i);
    done(i, layers);
  }
}

void quantize_plain(const std::shared_ptr<const Model>& model, const QuantizeOptions& options, Observer& observer,
                    const std::function<void(std::int64_t, std::vector<FinishedLayer>&)>& done) {
  Meter meter(observer, model->config().layers * static_cast<std::int64_t>(kLinearKinds.size()));
  for (std::int64_t i = 0; i < model->config().layers; ++i) {
    std::vector<FinishedLayer> layers;
    for (const auto kind : kLinearKinds) layers.push_back(solve(*model, i, kind, nullptr, options.grid, meter));
    done(i, layers);
  }
}

}  // namespace nearplane
