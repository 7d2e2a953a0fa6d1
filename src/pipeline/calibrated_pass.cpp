#include "pipeline/calibrated_pass.h"

#include <optional>

#include "base/check.h"
#include "base/process.h"
#include "pipeline/stage_walk.h"
#include "quant/drift.h"
#include "quant/quantize_coded.h"
#include "quant/quantize_icquant.h"
#include "quant/quantize_quip.h"
#include "quant/quantize_sparse.h"
#include "quant/quantize_spqr.h"
#include "runtime/network.h"

namespace nearplane {
namespace {

std::int64_t linear_count(const ModelConfig& config) { return config.layers * std::ssize(kLinearKinds); }

// Progress and time left, counted in layers.
class Meter {
 public:
  Meter(Observer& observer, std::int64_t total) : observer_(observer), total_(total) {}
  void known(std::int64_t layers) { done_ += layers, known_ += layers; }
  void finished(const LayerRecord& record) {
    ++done_;
    observer_.on_progress({"quantize", record.name, done_, total_, record.error,
                           watch_.seconds() / (done_ - known_) * (total_ - done_), resident_bytes()});
    if (record.repairs > 0)
      observer_.on_message(Severity::warning,
                           fmt::format("{}: damping raised to {:.2g} before the Gram matrix could be "
                                       "factored",
                                       record.name, record.damping));
    if (observer_.cancelled()) throw Error(ErrorCode::cancelled, "quantization stopped");
  }

 private:
  Observer& observer_;
  Stopwatch watch_;
  std::int64_t total_, done_ = 0, known_ = 0;
};

// Decodes a layer, has it quantized by `quantize(w, where)`, and completes its record.
template <class F>
FinishedLayer finish(const Model& model, std::int64_t layer, LinearKind kind, const F& quantize) {
  Stopwatch watch;
  const auto name = linear_name(layer, kind), tensor = name + ".weight";
  QuantizedLayer result = quantize(model.decode_matrix(tensor), model.tensor(tensor).where());
  model.release(tensor);
  result.record.name = name;
  result.record.seconds = watch.seconds();
  return {std::make_shared<const QuantizedTensor>(std::move(result.tensor)), std::move(result.record)};
}

QuantizedLayer by_method(const Matrix<float>& w, const Hessian& hessian, const GridOptions& grid, std::uint64_t seed,
                         const std::string& where) {
  switch (grid.method) {
    case Method::rounding:
    case Method::nearest_plane:
      return quantize_linear(w, &hessian, grid, where);
    case Method::hptq:
    case Method::watersic:
    case Method::trellis:
      return quantize_coded(w, hessian, grid, {}, where);
    case Method::ssqr:
      return quantize_sparse(w, hessian, grid, where);
    case Method::quip:
      return quantize_quip(w, hessian, grid, seed, where);
    case Method::icquant:
    case Method::icquant_rounding:
      return quantize_icquant(w, hessian, grid, where);
    case Method::spqr:
      return quantize_spqr(w, hessian, grid, where);
  }
  throw Error(ErrorCode::unsupported, "no such method", where);
}

// One stage: its layers quantized and put into the block.
class StageSolver {
 public:
  StageSolver(const std::shared_ptr<const Model>& model, const QuantizeOptions& options, const BitPlan& bits,
              Meter& meter)
      : model_(*model), weights_(weights_of(model)), options_(options), bits_(bits), meter_(meter) {}

  void solve(Block& block, StageWalk::Kinds kinds, const Gram& gram, const DriftGram* drift,
             std::vector<FinishedLayer>& layers) {
    const auto where = linear_name(block.index, kinds.front());
    const Hessian hessian(gram.total(), order_of(options_.grid), options_.grid.damping, where);
    tokens_ = gram.tokens();
    std::optional<DriftCorrection> correction;
    if (drift != nullptr)
      correction.emplace(hessian, DriftSums{drift->cross(), drift->squares(), drift->tokens()}, where);
    for (const auto kind : kinds) {
      layers.push_back(quantize_layer(block.index, kind, hessian, correction ? &*correction : nullptr));
      meter_.finished(layers.back().record);
      std::vector<float> bias;
      if (linear_has_bias(model_.config(), kind)) bias = weights_->vector(linear_name(block.index, kind) + ".bias");
      block.linear[static_cast<std::size_t>(kind)] =
          linear_of(layers.back().tensor, std::move(bias), compute_of(options_.arithmetic));
    }
  }

 private:
  FinishedLayer quantize_layer(std::int64_t block, LinearKind kind, const Hessian& hessian,
                               const DriftCorrection* correction) const {
    const auto name = linear_name(block, kind);
    return finish(model_, block, kind, [&](const Matrix<float>& w, const std::string& where) {
      if (correction == nullptr) return quantize_rows(name, w, hessian, where);
      const auto target = correction->target(w, options_.drift, where);
      auto result = quantize_rows(name, target.w, hessian, where);
      result.record.drift_explained = target.explained;
      result.record.drift_strength = target.strength;
      result.record.output_error = correction->output_error(w, result.tensor);
      return result;
    });
  }

  QuantizedLayer quantize_rows(const std::string& name, const Matrix<float>& w, const Hessian& hessian,
                               const std::string& where) const {
    auto grid = options_.grid;
    if (bits_.slope) return bits_.slope->quantize(name, w, hessian, tokens_, grid, where);
    const auto given = bits_.mixed.find(name);
    if (given != bits_.mixed.end()) grid.bits = given->second.bits;
    auto out = by_method(w, hessian, grid, options_.calibration.seed, where);
    if (given != bits_.mixed.end()) out.record.predicted_kl = given->second.predicted_kl;
    return out;
  }

  const Model& model_;
  std::unique_ptr<WeightSource> weights_;
  const QuantizeOptions& options_;
  const BitPlan& bits_;
  Meter& meter_;
  std::int64_t tokens_ = 0;  // of the stage
};

// The parts of a pass that do not depend on how a block is quantized.
BlockPass pass_into(const BlockSink& sink, const BitPlan& bits, std::int64_t blocks, Meter& meter) {
  BlockPass pass{.name = "block", .blocks = blocks, .begin = {}, .known = {}, .work = {}};
  pass.known = [&](std::int64_t block, const Json& outcome) {
    const auto layers = sink.known(block, outcome);
    meter.known(std::ssize(layers));
    if (bits.slope)
      for (const auto& layer : layers) bits.slope->skip(layer.bits_per_weight);
  };
  return pass;
}

}  // namespace

void quantize_calibrated(const std::shared_ptr<const Model>& model, std::span<const Window> windows,
                         const QuantizeOptions& options, const BitPlan& bits, Journal& journal, Observer& observer,
                         const BlockSink& sink) {
  Meter meter(observer, linear_count(model->config()));
  StageSolver solver(model, options, bits, meter);
  auto pass = pass_into(sink, bits, model->config().layers, meter);
  pass.begin = [&] {
    return std::make_unique<StageWalk>(model, windows, options.arithmetic, options.drift.wanted(), observer);
  };
  pass.work = [&](std::int64_t i, StageWalk* walk) {
    std::vector<FinishedLayer> layers;
    walk->next_block([&](Block& block, StageWalk::Kinds kinds, const Gram& gram, const DriftGram* drift) {
      solver.solve(block, kinds, gram, drift, layers);
    });
    auto outcome = sink.done(i, layers);
    trim_memory();
    return outcome;
  };
  pass_over_blocks(journal, pass);
}

BlockTrial try_block(const std::shared_ptr<const Model>& model, std::span<const Window> windows,
                     const QuantizeOptions& options, Observer& observer) {
  BlockTrial trial;
  const Stopwatch whole;
  Meter meter(observer, std::ssize(kLinearKinds));
  const BitPlan bits;
  StageSolver solver(model, options, bits, meter);
  StageWalk walk(model, windows, options.arithmetic, options.drift.wanted(), observer);
  walk.next_block([&](Block& block, StageWalk::Kinds kinds, const Gram& gram, const DriftGram* drift) {
    const Stopwatch solving;
    solver.solve(block, kinds, gram, drift, trial.layers);
    trial.solve_seconds += solving.seconds();
  });
  trial.seconds = whole.seconds();
  return trial;
}

void quantize_plain(const std::shared_ptr<const Model>& model, const QuantizeOptions& options, Journal& journal,
                    Observer& observer, const BlockSink& sink) {
  Meter meter(observer, linear_count(model->config()));
  const BitPlan bits;
  auto pass = pass_into(sink, bits, model->config().layers, meter);
  pass.work = [&](std::int64_t i, StageWalk*) {
    std::vector<FinishedLayer> layers;
    for (const auto kind : kLinearKinds) {
      layers.push_back(finish(*model, i, kind, [&](const Matrix<float>& w, const std::string& where) {
        return quantize_linear(w, nullptr, options.grid, where);
      }));
      meter.finished(layers.back().record);
    }
    return sink.done(i, layers);
  };
  pass_over_blocks(journal, pass);
}

}  // namespace nearplane
