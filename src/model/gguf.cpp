#include "model/gguf.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <string_view>

#include "base/check.h"
#include "model/arch/family.h"
#include "model/rope.h"
#include "tensor/decode.h"

namespace nearplane {
namespace {

// The metadata of one architecture, with its prefix supplied.
class Metadata {
 public:
  explicit Metadata(const TensorFile& file)
      : values_(file.metadata()),
        file_(file.path().string()),
        arch_(json_get<std::string>(values_, "general.architecture", file_)) {}

  const std::string& arch() const { return arch_; }
  const std::string& file() const { return file_; }
  std::string key(std::string_view name) const { return arch_ + "." + std::string(name); }
  std::int64_t integer(std::string_view name) const { return json_get<std::int64_t>(values_, key(name), file_); }
  template <class T>
  std::optional<T> find(std::string_view name) const {
    return json_find<T>(values_, key(name), file_);
  }
  // Stored as f32 but meant as a decimal: 1e-5, not 9.99999974e-6.
  std::optional<double> decimal(std::string_view name) const {
    const auto value = find<float>(name);
    if (!value) return std::nullopt;
    return std::stod(fmt::format("{}", *value));
  }
  std::optional<std::int64_t> token(const char* name) const {
    return json_find<std::int64_t>(values_, fmt::format("tokenizer.ggml.{}_token_id", name), file_);
  }

 private:
  const Json& values_;
  std::string file_, arch_;
};

const Family& family_of(const Metadata& metadata) {
  for (const Family* family : families())
    if (family->model_type == metadata.arch() && family != &kMistral) return *family;  // Mistral is stored as llama
  fail_unsupported(metadata.file(), "architecture '{}' is not known in GGUF files (llama, qwen2 and qwen3 are)",
                   metadata.arch());
}

std::int64_t head_dim_of(const Metadata& metadata, std::int64_t hidden, std::int64_t heads) {
  if (heads < 1) fail_input(metadata.file(), "{} of {}", metadata.key("attention.head_count"), heads);
  const auto head_dim = metadata.find<std::int64_t>("attention.key_length").value_or(hidden / heads);
  for (const auto* name : {"attention.value_length", "rope.dimension_count"})
    if (const auto value = metadata.find<std::int64_t>(name); value && *value != head_dim)
      fail_unsupported(metadata.file(), "{} of {} differs from the head dimension {}", metadata.key(name), *value,
                       head_dim);
  return head_dim;
}

void refuse_unknown_variants(const Metadata& metadata) {
  for (const auto* name : {"expert_count", "attention.sliding_window"})
    if (const auto value = metadata.find<std::int64_t>(name); value && *value != 0)
      fail_unsupported(metadata.file(), "{} of {} is not known (0 is)", metadata.key(name), *value);
}

// Finds the llama3 scaling behind a file's frequency factors; the factors themselves have no place in config.json.
// Low and high factor and context are those of every published Llama 3 model: the file does not say them.
Json llama3_rope(const StoredTensor& freqs, std::int64_t head_dim, double theta) {
  if (freqs.shape != std::vector{head_dim / 2} || !dtype_info(freqs.dtype).floating)
    fail_input(freqs.where(), "{} factors for a head dimension of {}", freqs.elements(), head_dim);
  std::vector<float> factors(static_cast<std::size_t>(freqs.elements()));
  decode_f32(freqs.dtype, freqs.bytes.data(), freqs.elements(), factors.data());
  const RopeScaling scaling{RopeScaling::Kind::llama3, *std::ranges::max_element(factors), 1, 4, 8192};
  const auto plain = rope_frequencies(head_dim, theta, {}), slowed = rope_frequencies(head_dim, theta, scaling);
  for (std::size_t i = 0; i < factors.size(); ++i)
    if (const auto expected = plain[i] / slowed[i]; !(std::abs(factors[i] - expected) <= 1e-4 * expected))
      fail_unsupported(freqs.where(), "factor {} is {}, llama3 rope scaling (1, 4, 8192) by {} has {}", i, factors[i],
                       scaling.factor, expected);
  if (scaling.factor == 1) return Json{{"rope_type", "default"}};
  return {{"rope_type", "llama3"},
          {"factor", std::stod(fmt::format("{}", static_cast<float>(scaling.factor)))},
          {"low_freq_factor", scaling.low_freq_factor},
          {"high_freq_factor", scaling.high_freq_factor},
          {"original_max_position_embeddings", scaling.original_max_position}};
}

Json rope_of(const Metadata& metadata, const TensorFile& file, std::int64_t head_dim) {
  const double theta = metadata.decimal("rope.freq_base").value_or(10000);
  const auto type = metadata.find<std::string>("rope.scaling.type").value_or("none");
  const auto* freqs = file.find("rope_freqs.weight");
  Json rope{{"rope_type", "default"}};
  if (type == "linear") {
    const auto factor = metadata.decimal("rope.scaling.factor");
    if (!factor) fail_input(metadata.file(), "{} is missing", metadata.key("rope.scaling.factor"));
    rope = {{"rope_type", "linear"}, {"factor", *factor}};
  } else if (type != "none") {
    fail_unsupported(metadata.file(), "{} '{}' is not known (none and linear are)", metadata.key("rope.scaling.type"),
                     type);
  }
  if (freqs) {
    if (type != "none") fail_unsupported(freqs->where(), "frequency factors together with {} scaling", type);
    rope = llama3_rope(*freqs, head_dim, theta);
  }
  rope["rope_theta"] = theta;
  return rope;
}

void add_tokens(const Metadata& metadata, Json& config) {
  if (const auto bos = metadata.token("bos")) config["bos_token_id"] = *bos;
  const auto eos = metadata.token("eos"), eot = metadata.token("eot");
  if (eos && eot && *eos != *eot)
    config["eos_token_id"] = {*eos, *eot};
  else if (eos || eot)
    config["eos_token_id"] = eos ? *eos : *eot;
  if (const auto pad = metadata.token("padding")) config["pad_token_id"] = *pad;
}

}  // namespace

Json hf_config_from_gguf(const TensorFile& file) {
  const Metadata metadata(file);
  const Family& family = family_of(metadata);
  refuse_unknown_variants(metadata);
  const auto hidden = metadata.integer("embedding_length"), heads = metadata.integer("attention.head_count");
  const auto head_dim = head_dim_of(metadata, hidden, heads);
  const auto eps = metadata.decimal("attention.layer_norm_rms_epsilon");
  if (!eps) fail_input(metadata.file(), "{} is missing", metadata.key("attention.layer_norm_rms_epsilon"));
  Json config{{"architectures", Json::array({family.architecture})},
              {"model_type", family.model_type},
              {"hidden_size", hidden},
              {"num_hidden_layers", metadata.integer("block_count")},
              {"num_attention_heads", heads},
              {"num_key_value_heads", metadata.find<std::int64_t>("attention.head_count_kv").value_or(heads)},
              {"head_dim", head_dim},
              {"intermediate_size", metadata.integer("feed_forward_length")},
              {"vocab_size", file.get("token_embd.weight").shape.front()},
              {"max_position_embeddings", metadata.integer("context_length")},
              {"rms_norm_eps", *eps},
              {"hidden_act", "silu"},
              {"rope_parameters", rope_of(metadata, file, head_dim)},
              {"tie_word_embeddings", !file.find("output.weight")},
              {"torch_dtype", "float32"}};
  if (&family != &kQwen2) config["attention_bias"] = file.find("blk.0.attn_q.bias") != nullptr;
  if (&family == &kLlama) config["mlp_bias"] = file.find("blk.0.ffn_gate.bias") != nullptr;
  add_tokens(metadata, config);
  return config;
}

std::string gguf_tensor_name(const std::string& canonical) {
  struct Pair {
    std::string_view hf, gguf;
  };
  static constexpr std::array kNames{Pair{"model.embed_tokens", "token_embd"},
                                     Pair{"model.norm", "output_norm"},
                                     Pair{"lm_head", "output"},
                                     Pair{"input_layernorm", "attn_norm"},
                                     Pair{"post_attention_layernorm", "ffn_norm"},
                                     Pair{"self_attn.q_proj", "attn_q"},
                                     Pair{"self_attn.k_proj", "attn_k"},
                                     Pair{"self_attn.v_proj", "attn_v"},
                                     Pair{"self_attn.o_proj", "attn_output"},
                                     Pair{"self_attn.q_norm", "attn_q_norm"},
                                     Pair{"self_attn.k_norm", "attn_k_norm"},
                                     Pair{"mlp.gate_proj", "ffn_gate"},
                                     Pair{"mlp.up_proj", "ffn_up"},
                                     Pair{"mlp.down_proj", "ffn_down"}};
  constexpr std::string_view kLayers = "model.layers.";
  std::string_view module = canonical;
  const auto dot = module.rfind('.');
  const auto suffix = module.substr(dot);  // ".weight" or ".bias"
  module = module.substr(0, dot);
  std::string prefix;
  if (module.starts_with(kLayers)) {
    module.remove_prefix(kLayers.size());
    const auto end = module.find('.');
    prefix = fmt::format("blk.{}.", module.substr(0, end));
    module.remove_prefix(end + 1);
  }
  const auto* pair = std::ranges::find(kNames, module, &Pair::hf);
  assert(pair != kNames.end());
  return fmt::format("{}{}{}", prefix, pair->gguf, suffix);
}

bool is_gguf_qk(const std::string& canonical) {
  return canonical.find(".self_attn.q_proj.") != std::string::npos ||
         canonical.find(".self_attn.k_proj.") != std::string::npos;
}

std::int64_t gguf_qk_row(std::int64_t r, std::int64_t head_dim) {
  const auto in_head = r % head_dim, half = head_dim / 2;
  return r - in_head + 2 * (in_head % half) + in_head / half;
}

}  // namespace nearplane
