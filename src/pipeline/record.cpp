#include "pipeline/record.h"

#include <array>

#include "base/check.h"

namespace nearplane {
namespace {

constexpr std::array kMethods{"rounding", "nearest-plane",    "hptq", "watersic", "trellis", "quip",
                              "icquant",  "icquant-rounding", "spqr", "ssqr"};
constexpr std::array kSolvers{"nearest-plane", "kbest"};
constexpr std::array kOrders{"natural", "act"};
constexpr std::array kScales{"minmax", "diagonal", "pivots"};
constexpr std::array kArithmetics{"f32", "bf16"};

template <class Names, class Enum>
const char* name_of(const Names& names, Enum value) {
  return names.at(static_cast<std::size_t>(value));
}

Json massive_json(const std::vector<MassiveColumn>& columns) {
  Json out = Json::array();
  for (const auto& column : columns) out.push_back({{"column", column.column}, {"times", column.times}});
  return out;
}

Json layer_json(const LayerRecord& layer) {
  return {{"name", layer.name},
          {"rows", layer.rows},
          {"cols", layer.cols},
          {"bits", layer.bits},
          {"bits_per_weight", layer.bits_per_weight},
          {"error", layer.error},
          {"bound", layer.bound},
          {"expectation", layer.expectation},
          {"limit", layer.limit},
          {"clipped_share", layer.clipped_share},
          {"damping", layer.damping},
          {"repairs", layer.repairs},
          {"dead_columns", layer.dead_columns},
          {"dead", layer.dead},
          {"massive", massive_json(layer.massive)},
          {"certificate", layer.certificate},
          {"drift_explained", layer.drift_explained},
          {"drift_strength", layer.drift_strength},
          {"output_error", layer.output_error},
          {"predicted_kl", layer.predicted_kl},
          {"seconds", layer.seconds}};
}

Json embedding_json(const EmbeddingRecord& embedding) {
  return {{"name", embedding.name},
          {"rows", embedding.rows},
          {"cols", embedding.cols},
          {"stored_bytes", embedding.stored_bytes},
          {"bits_per_weight", embedding.bits_per_weight()},
          {"error", embedding.error}};
}

Json drift_json(const DriftOptions& drift) { return drift.fitted ? Json("fitted") : Json(drift.strength); }

}  // namespace

Json layers_json(const std::vector<LayerRecord>& layers) {
  Json out = Json::array();
  for (const auto& layer : layers) out.push_back(layer_json(layer));
  return out;
}

Json embeddings_json(const std::vector<EmbeddingRecord>& embeddings) {
  Json out = Json::array();
  for (const auto& embedding : embeddings) out.push_back(embedding_json(embedding));
  return out;
}

Json options_json(const QuantizeOptions& options) {
  const auto& grid = options.grid;
  const auto& calibration = options.calibration;
  Json files = Json::array();
  for (const auto& file : calibration.files) files.push_back(file.string());
  return {{"grid",
           {{"bits", grid.bits},
            {"group", grid.group},
            {"symmetric", grid.symmetric},
            {"method", name_of(kMethods, grid.method)},
            {"solver", name_of(kSolvers, grid.solver)},
            {"beam", grid.beam},
            {"alternate", grid.alternate},
            {"states", grid.states},
            {"survivors", grid.survivors},
            {"order", name_of(kOrders, grid.order)},
            {"scales", name_of(kScales, grid.scales)},
            {"damping", grid.damping}}},
          {"calibration",
           {{"files", files},
            {"samples", calibration.samples},
            {"length", calibration.length},
            {"seed", calibration.seed}}},
          {"drift", drift_json(options.drift)},
          {"mix", options.mix},
          {"mix_apart", options.mix_apart},
          {"slope", options.slope},
          {"embedding_bits", options.embedding_bits},
          {"arithmetic", name_of(kArithmetics, options.arithmetic)}};
}

Json record_json(const std::filesystem::path& model, const QuantizeOptions& options, const QuantizeResult& result) {
  Json record{{"model", model.string()}};
  record.update(options_json(options));
  record["calibration"]["tokens"] = result.calibration_tokens;
  record["predicted_kl"] = result.predicted_kl;
  record["weights"] = result.weights;
  record["stored_bytes"] = result.stored_bytes;
  record["bits_per_weight"] = result.bits_per_weight();
  record["seconds"] = result.seconds;
  record["peak_memory"] = result.peak_memory;
  record["embeddings"] = embeddings_json(result.embeddings);
  record["layers"] = layers_json(result.layers);
  return record;
}

QuantizeResult result_of_record(const Json& record, const std::string& where) {
  QuantizeResult result;
  result.layers = layers_of_record(record, where);
  result.embeddings = embeddings_of_record(record, where);
  result.weights = json_get<std::int64_t>(record, "weights", where);
  result.stored_bytes = json_get<std::int64_t>(record, "stored_bytes", where);
  result.calibration_tokens = json_get<std::int64_t>(record.at("calibration"), "tokens", where);
  result.predicted_kl = json_get<double>(record, "predicted_kl", where);
  result.seconds = json_get<double>(record, "seconds", where);
  result.peak_memory = json_get<std::int64_t>(record, "peak_memory", where);
  return result;
}

std::vector<LayerRecord> layers_of_record(const Json& record, const std::string& where) {
  const auto layers = record.find("layers");
  if (layers == record.end() || !layers->is_array()) fail_input(where, "key 'layers' is missing or no list");
  std::vector<LayerRecord> out;
  for (const auto& item : *layers) {
    const auto number = [&](const char* key) { return json_get<double>(item, key, where); };
    const auto whole = [&](const char* key) { return json_get<std::int64_t>(item, key, where); };
    LayerRecord layer;
    layer.name = json_get<std::string>(item, "name", where);
    layer.rows = whole("rows"), layer.cols = whole("cols");
    layer.bits_per_weight = number("bits_per_weight");
    layer.error = number("error"), layer.bound = number("bound"), layer.expectation = number("expectation");
    if (item.contains("limit")) layer.limit = number("limit");  // not in records of version 0.1.0
    layer.clipped_share = number("clipped_share"), layer.damping = number("damping");
    layer.repairs = static_cast<int>(whole("repairs"));
    layer.dead_columns = whole("dead_columns");
    if (item.contains("massive")) {
      layer.dead = json_get<std::vector<std::int64_t>>(item, "dead", where);
      for (const auto& column : item["massive"])
        layer.massive.push_back(
            {json_get<std::int64_t>(column, "column", where), json_get<double>(column, "times", where)});
    }
    if (item.contains("output_error")) {  // nor these
      layer.bits = static_cast<int>(whole("bits")), layer.predicted_kl = number("predicted_kl");
      layer.drift_explained = number("drift_explained"), layer.drift_strength = number("drift_strength");
      layer.output_error = number("output_error");
    }
    layer.certificate = number("certificate"), layer.seconds = number("seconds");
    out.push_back(std::move(layer));
  }
  return out;
}

std::vector<EmbeddingRecord> embeddings_of_record(const Json& record, const std::string& where) {
  const auto embeddings = record.find("embeddings");
  if (embeddings == record.end()) return {};  // not in older records
  if (!embeddings->is_array()) fail_input(where, "key 'embeddings' is no list");
  std::vector<EmbeddingRecord> out;
  for (const auto& item : *embeddings)
    out.push_back({json_get<std::string>(item, "name", where), json_get<std::int64_t>(item, "rows", where),
                   json_get<std::int64_t>(item, "cols", where), json_get<std::int64_t>(item, "stored_bytes", where),
                   json_get<double>(item, "error", where)});
  return out;
}

}  // namespace nearplane
