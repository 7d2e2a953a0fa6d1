// GPTQ checkpoints: everything transposed, input columns down the rows; version 1 stores zero points less one.
// docs/formats/gptq.md
#include <algorithm>

#include "base/check.h"
#include "exporter/format.h"
#include "exporter/words.h"

namespace nearplane {
namespace {

class Gptq : public Format {
 public:
  explicit Gptq(int version) : version_(version) {}

  void check(const IntegerTensor& t, const std::string& where) const override {
    if (t.bits != 2 && t.bits != 3 && t.bits != 4 && t.bits != 8)
      fail_unsupported(where, "GPTQ checkpoints hold 2, 3, 4 or 8 bits, this layer has {}", t.bits);
    if (t.rows % 32 != 0) fail_unsupported(where, "GPTQ needs a multiple of 32 outputs, this layer has {}", t.rows);
    if (t.cols % 32 != 0) fail_unsupported(where, "GPTQ needs a multiple of 32 inputs, this layer has {}", t.cols);
  }

  std::vector<TensorLayout> tensors(const std::string& name, const IntegerTensor& t) const override {
    return {{name + ".qweight", DType::i32, {words_of(t.cols, t.bits), t.rows}},
            {name + ".qzeros", DType::i32, {t.groups(), words_of(t.rows, t.bits)}},
            {name + ".scales", DType::f16, {t.groups(), t.rows}},
            {name + ".g_idx", DType::i32, {t.cols}}};
  }

  void write(const IntegerTensor& t, const ByteSink& out) const override {
    const auto codes = code_words(t);
    out(std::as_bytes(transposed<std::uint32_t>(codes.view()).span()));
    if (version_ == 1) refuse_zeros_of_zero(t);
    out(std::as_bytes(zero_words(t, version_ == 1 ? 1 : 0).span()));
    const MatrixView<const std::uint16_t> scales{t.scales.data(), t.rows, t.groups(), t.groups()};
    out(std::as_bytes(transposed(scales).span()));
    std::vector<std::int32_t> group(static_cast<std::size_t>(t.cols));
    for (std::int64_t i = 0; i < t.cols; ++i)
      group[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i / t.group);
    out(std::as_bytes(std::span(group)));
  }

  Json config(std::span<const LayerGrid> layers) const override {
    const auto grid = most_common(layers);
    Json config = settings(grid);
    config.update({{"quant_method", "gptq"},
                   {"checkpoint_format", version_ == 1 ? "gptq" : "gptq_v2"},
                   {"desc_act", false},  // the order of quantization left the groups where they were
                   {"lm_head", false},
                   {"pack_dtype", "int32"},
                   {"meta", {{"quantizer", "nearplane"}}}});
    Json dynamic = Json::object();
    for (const auto& layer : layers)
      if (layer.grid != grid) dynamic["+:^" + escaped(layer.name) + "$"] = settings(layer.grid);
    if (!dynamic.empty()) config["dynamic"] = std::move(dynamic);
    return config;
  }

  std::string config_file() const override { return "quantize_config.json"; }

 private:
  static void refuse_zeros_of_zero(const IntegerTensor& t) {
    std::vector<std::uint8_t> zeros(static_cast<std::size_t>(t.groups()));
    for (std::int64_t r = 0; r < t.rows; ++r) {
      t.zeros_of_row(r, zeros.data());
      if (std::ranges::count(zeros, 0) > 0)
        fail_unsupported(fmt::format("row {}", r), "GPTQ version 1 has no zero point of 0; gptq-v2 has");
    }
  }
  static Json settings(const ExportGrid& grid) {
    return {{"bits", grid.bits}, {"group_size", grid.group > 0 ? grid.group : -1}, {"sym", grid.symmetric}};
  }
  // A module name as a regular expression: only its dots mean anything else.
  static std::string escaped(const std::string& name) {
    std::string out;
    for (const char c : name) out += c == '.' ? "\\." : std::string(1, c);
    return out;
  }
  int version_;
};

}  // namespace

ExportGrid most_common(std::span<const LayerGrid> layers) {
  const auto count = [&](const LayerGrid& layer) {
    return std::ranges::count_if(layers, [&](const auto& other) { return other.grid == layer.grid; });
  };
  return std::ranges::max_element(layers, {}, count)->grid;
}

const Format& gptq_format() {
  static const Gptq format(1);
  return format;
}

const Format& gptq_v2_format() {
  static const Gptq format(2);
  return format;
}

}  // namespace nearplane
