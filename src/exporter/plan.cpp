#include "exporter/plan.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "model/tensors.h"

namespace nearplane {
namespace {

void check_shape(const std::vector<std::int64_t>& have, const std::vector<std::int64_t>& want,
                 const std::string& where) {
  if (have != want) fail_input(where, "has shape {}, the config asks for {}", Json(have).dump(), Json(want).dump());
}

// Why a layer that is not in integer codes cannot be translated.
const char* why_not(const QuantizedTensor& layer) {
  if (layer.rotated() != nullptr)
    return "holds rotated weights: other engines read integer codes of the weights themselves";
  if (std::holds_alternative<SplitTensor>(layer.form) || std::holds_alternative<OutlierTensor>(layer.form))
    return "has outliers of their own: other engines read integer codes with one scale for all weights of a group";
  if (std::holds_alternative<BlockTensor>(layer.form))
    return "is in blocks of ggml: other formats hold integer codes with one f16 scale for a group";
  if (std::holds_alternative<SparseTensor>(layer.form))
    return "is sparse: other engines read integer codes with scales, and it has no range to fit one";
  return "is entropy-coded: other engines read integer codes with scales, and it has no range to fit one";
}

// Engines split rows into equal groups.
std::vector<LayerGrid> grids_of(const Store& store) {
  std::vector<LayerGrid> out;
  bool per_row = true;
  for (const auto& name : store.quantized_names()) {
    if (!is_in_block(name)) continue;
    const auto where = store.path().string() + ": layer " + name;
    const auto* t = store.layout(name).integer();
    if (t == nullptr) fail_unsupported(where, "{}", why_not(store.layout(name)));
    if (t->cols % t->group != 0)
      fail_unsupported(where, "groups of {} do not divide its {} inputs, no reader takes a shorter last group",
                       t->group, t->cols);
    per_row = per_row && t->groups() == 1;
    out.push_back({name, {t->bits, t->group, t->symmetric}});
  }
  if (out.empty()) fail_input(store.path().string(), "holds no quantized layers");
  if (per_row)
    for (auto& layer : out) layer.grid.group = 0;
  return out;
}

}  // namespace

ExportPlan plan_export(const Store& store) {
  ExportPlan plan;
  const auto config_file = store.path() / "config.json";
  plan.config = read_json(config_file);
  plan.layers = grids_of(store);
  plan.model = parse_hf_config(plan.config, config_file.string());
  std::set<std::string> layers(store.quantized_names().begin(), store.quantized_names().end());
  std::set<std::string> kept(store.kept_names().begin(), store.kept_names().end());
  for (const auto& [name, shape] : expected_tensors(plan.model)) {
    const auto module = name.substr(0, name.rfind(".weight"));
    const auto where = store.path().string() + ": layer " + module;
    const bool quantized = shape.size() == 2 && layers.erase(module) > 0;
    if (quantized) check_shape({store.layout(module).rows(), store.layout(module).cols()}, shape, where);
    if (shape.size() == 2 && is_in_block(name)) {
      if (!quantized) fail_unsupported(where, "is not quantized; engines expect all layers to be");
      plan.items.push_back({module, ExportPlan::Form::layer});
    } else if (quantized) {
      plan.items.push_back({module, ExportPlan::Form::table});
    } else {
      const auto& tensor = store.kept(name);
      kept.erase(name);
      check_shape(tensor.shape, shape, tensor.where());
      plan.items.push_back({name, ExportPlan::Form::kept});
    }
  }
  layers.merge(kept);
  if (!layers.empty())
    fail_unsupported(store.path().string() + ": tensor " + *layers.begin(), "is not part of a model with this config");
  return plan;
}

}  // namespace nearplane
