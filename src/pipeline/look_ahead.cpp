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

Sensitivity sensitivity_of(const Network& network, std::span<const Window> windows, const QuantizeOptions& options,
                           Journal& journal, Observer& observer) {
  if (const auto known = journal.find("sensitivity")) return known->get<Sensitivity>();
  auto f = output_sensitivity(network, windows,
                              {.seed = options.calibration.seed, .compute = compute_of(options.arithmetic)}, observer);
  journal.put("sensitivity", f);
  return f;
}

}  // namespace

Order order_of(const GridOptions& grid) { return is_coded(grid.method) ? Order::natural : grid.order; }

Ahead look_ahead(const std::shared_ptr<const Model>& model, const Network& network, std::span<const Window> windows,
                 const QuantizeOptions& options, Journal& journal, Observer& observer,
                 const std::function<Json(const LayerAhead&, const std::vector<double>& f)>& examine) {
  const auto few = first_windows(windows);
  Ahead ahead{.f = sensitivity_of(network, few, options, journal, observer), .layers = {}};
  const auto blocks = model->config().layers;
  Stopwatch watch;
  std::int64_t known = 0;
  BlockPass pass{.name = "look", .blocks = blocks, .begin = {}, .known = {}, .work = {}};
  pass.begin = [&] { return std::make_unique<StageWalk>(model, few, options.arithmetic, false, observer); };
  pass.known = [&](std::int64_t, const Json& layers) {
    ++known;
    ahead.layers.insert(ahead.layers.end(), layers.begin(), layers.end());
  };
  pass.work = [&](std::int64_t i, StageWalk* walk) {
    Json layers = Json::array();
    walk->next_block([&](Block& block, StageWalk::Kinds kinds, const Gram& gram, const DriftGram*) {
      const Hessian hessian(gram.total(), order_of(options.grid), options.grid.damping,
                            linear_name(block.index, kinds.front()));
      for (const auto kind : kinds) {
        const auto name = linear_name(block.index, kind), tensor = name + ".weight";
        const auto w = model->decode_matrix(tensor);
        layers.push_back(
            examine({name, kind, kind == kinds.front(), w, hessian, gram.tokens(), model->tensor(tensor).where()},
                    ahead.f.at(name)));
        model->release(tensor);
      }
    });
    observer.on_progress({"look ahead", fmt::format("block {}", i), i + 1, blocks, -1,
                          watch.seconds() / static_cast<double>(i + 1 - known) * static_cast<double>(blocks - i - 1),
                          resident_bytes()});
    ahead.layers.insert(ahead.layers.end(), layers.begin(), layers.end());
    return layers;
  };
  pass_over_blocks(journal, pass);
  return ahead;
}

}  // namespace nearplane
