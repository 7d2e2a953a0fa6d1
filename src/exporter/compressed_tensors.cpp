// compressed-tensors, format pack-quantized: rows of W stay rows, 3, 5, 6 and 7 bits dense as since version 0.18.
// docs/formats/compressed-tensors.md
#include <algorithm>
#include <array>

#include "exporter/format.h"
#include "exporter/words.h"

namespace nearplane {
namespace {

class CompressedTensors : public Format {
 public:
  void check(const IntegerTensor&, const std::string&) const override {}  // 2 to 8 bits, any shape

  std::vector<TensorLayout> tensors(const std::string& name, const IntegerTensor& t) const override {
    std::vector<TensorLayout> out{{name + ".weight_packed", DType::i32, {t.rows, words_of(t.cols, t.bits)}},
                                  {name + ".weight_scale", DType::f16, {t.rows, t.groups()}},
                                  {name + ".weight_shape", DType::i64, {2}}};
    if (!t.symmetric) out.push_back({name + ".weight_zero_point", DType::i32, {words_of(t.rows, t.bits), t.groups()}});
    return out;
  }

  // The format's codes and zero points are signed and stored with 2^(bits-1) added: our unsigned ones.
  void write(const IntegerTensor& t, const ByteSink& out) const override {
    out(std::as_bytes(code_words(t).span()));
    out(std::as_bytes(std::span(t.scales)));
    const std::array shape{t.rows, t.cols};
    out(std::as_bytes(std::span(shape)));
    if (!t.symmetric) {
      const auto zeros = zero_words(t, 0);
      out(std::as_bytes(transposed<std::uint32_t>(zeros.view()).span()));
    }
  }

  Json config(std::span<const LayerGrid> layers) const override {
    const auto all = most_common(layers);
    std::vector<std::pair<ExportGrid, Json>> targets{{all, {"Linear"}}};  // names go before class names
    for (const auto& layer : layers) {
      if (layer.grid == all) continue;
      auto it = std::ranges::find(targets, layer.grid, &std::pair<ExportGrid, Json>::first);
      if (it == targets.end()) it = targets.insert(it, {layer.grid, Json::array()});
      it->second.push_back(layer.name);
    }
    Json groups = Json::object();
    for (const auto& [grid, names] : targets)
      groups["group_" + std::to_string(groups.size())] = config_group(grid, names);
    Json config = {{"quant_method", "compressed-tensors"}, {"version", "0.18.0"},
                   {"format", "pack-quantized"},           {"quantization_status", "compressed"},
                   {"global_compression_ratio", nullptr},  {"ignore", {"lm_head"}},
                   {"kv_cache_scheme", nullptr},           {"sparsity_config", Json::object()},
                   {"transform_config", Json::object()},   {"config_groups", std::move(groups)}};
    // transformers 5 prepares unpacked zero points for a model it keeps compressed and then refuses the packed ones; it
    // does read them when told to decode while loading, which it otherwise does before the first forward pass.
    if (std::ranges::any_of(layers, [](const auto& layer) { return !layer.grid.symmetric; }))
      config["dequantize"] = true;
    return config;
  }

 private:
  static Json config_group(const ExportGrid& grid, const Json& targets) {
    const bool grouped = grid.group > 0;
    const Json weights = {{"num_bits", grid.bits},
                          {"type", "int"},
                          {"symmetric", grid.symmetric},
                          {"strategy", grouped ? "group" : "channel"},
                          {"group_size", grouped ? Json(grid.group) : Json()},
                          {"dynamic", false},
                          {"actorder", nullptr},
                          {"block_structure", nullptr},
                          {"observer", "minmax"},
                          {"observer_kwargs", Json::object()}};
    return {{"targets", targets},
            {"weights", weights},
            {"input_activations", nullptr},
            {"output_activations", nullptr},
            {"format", "pack-quantized"}};
  }
};

}  // namespace

const Format& compressed_tensors_format() {
  static const CompressedTensors format;
  return format;
}

}  // namespace nearplane
