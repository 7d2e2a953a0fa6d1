// GPTQ checkpoints, version 1: everything transposed, input columns down the rows, zero points stored less one.
// docs/formats/gptq.md
#include "base/check.h"
#include "exporter/format.h"
#include "exporter/words.h"

namespace nearplane {
namespace {

class Gptq : public Format {
 public:
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
    out(std::as_bytes(zero_words(t, 1).span()));
    const MatrixView<const std::uint16_t> scales{t.scales.data(), t.rows, t.groups(), t.groups()};
    out(std::as_bytes(transposed(scales).span()));
    std::vector<std::int32_t> group(static_cast<std::size_t>(t.cols));
    for (std::int64_t i = 0; i < t.cols; ++i)
      group[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i / t.group);
    out(std::as_bytes(std::span(group)));
  }

  Json config(const ExportGrid& grid) const override {
    return {{"quant_method", "gptq"}, {"checkpoint_format", "gptq"},
            {"bits", grid.bits},      {"group_size", grid.group > 0 ? grid.group : -1},
            {"desc_act", false},  // the order of quantization left the groups where they were
            {"sym", grid.symmetric},  {"lm_head", false},
            {"pack_dtype", "int32"},  {"meta", {{"quantizer", "nearplane"}}}};
  }

  std::string config_file() const override { return "quantize_config.json"; }

  Unpacked read(const TensorFile& file, const Json& config, const std::string& name) const override {
    return unpack_gptq(file, config, name);
  }
};

}  // namespace

const Format& gptq_format() {
  static const Gptq format;
  return format;
}

}  // namespace nearplane
