#include "pipeline/look_ahead.h"

#include "base/process.h"
#include "quant/quantize_coded.h"

namespace nearplane {
namespace {

std::span<const Window> first_windows(std::span<const Window> windows) {
  std::int64_t tokens = 0;
  std::size_t count = 0;
  while (count < windows.size() && (count == 0 || tokens + std::ssize(windows[count]) <= kLookTokens))
    tokens += std::ssize(windows[count++]);
  return windows.first(count);
}

}  // namespace

Order order_of(const GridOptions& grid) { return is_coded(grid.method) ? Order::natural : grid.order; }

Sensitivity look_ahead(const std::shared_ptr<const Model>& model, const Network& network,
                       std::span<const Window> windows, const QuantizeOptions& options, Observer& observer,
                       const std::function<void(const LayerAhead&, const std::vector<double>& f)>& visit) {
  const auto few = first_windows(windows);
  auto sensitivity = output_sensitivity(
      network, few, {.seed = options.calibration.seed, .compute = compute_of(options.arithmetic)}, observer);
  Stopwatch watch;
  StageWalk walk(model, few, options.arithmetic, false, observer);
  const auto blocks = model->config().layers;
  for (std::int64_t i = 0; i < blocks; ++i) {
    walk.next_block([&](Block& block, StageWalk::Kinds kinds, const Gram& gram, const DriftGram*) {
      const Hessian hessian(gram.total(), order_of(options.grid), options.grid.damping,
                            linear_name(block.index, kinds.front()));
      for (const auto kind : kinds) {
        const auto name = linear_name(block.index, kind), tensor = name + ".weight";
        const auto w = model->decode_matrix(tensor);
        visit({name, kind, kind == kinds.front(), w, hessian, gram.tokens(), model->tensor(tensor).where()},
              sensitivity.at(name));
        model->release(tensor);
      }
    });
    observer.on_progress({"look ahead", fmt::format("block {}", i), i + 1, blocks, -1,
                          watch.seconds() / static_cast<double>(i + 1) * static_cast<double>(blocks - i - 1),
                          resident_bytes()});
  }
  return sensitivity;
}

}  // namespace nearplane
