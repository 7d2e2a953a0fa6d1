// config.json -> ModelConfig: the fields all families share; what differs is in arch/.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "model/arch/family.h"

namespace nearplane {
namespace {

const Family& family_of(const Json& config, const std::string& where) {
  const auto type = json_get<std::string>(config, "model_type", where);
  const auto all = families();
  const auto it = std::ranges::find(all, type, &Family::model_type);
  const auto classes = json_find<std::vector<std::string>>(config, "architectures", where);
  if (it == all.end())
    fail_unsupported(where, "architecture {} (model_type '{}') is not known; llama, mistral, qwen2 and qwen3 are",
                     classes && !classes->empty() ? classes->front() : "without a class name", type);
  if (classes && (classes->size() != 1 || classes->front() != (*it)->architecture))
    fail_unsupported(where, "architectures {} is not known for model_type '{}' ({} is)", Json(*classes).dump(), type,
                     (*it)->architecture);
  return **it;
}

// Fields whose other values would change the arithmetic.
void refuse_unknown_variants(const Json& config, const std::string& where) {
  const auto act = json_find<std::string>(config, "hidden_act", where).value_or("silu");
  if (act != "silu") fail_unsupported(where, "hidden_act '{}' is not known (silu is)", act);
  if (config.contains("quantization_config") && !config["quantization_config"].is_null())
    fail_unsupported(where, "the weights are already quantized (quantization_config, method '{}')",
                     json_find<std::string>(config["quantization_config"], "quant_method", where).value_or("unnamed"));
  if (const auto part = json_find<double>(config, "partial_rotary_factor", where); part && *part != 1.0)
    fail_unsupported(where, "partial_rotary_factor {} is not known (1 is)", *part);
  if (json_find<bool>(config, "use_mrope", where).value_or(false)) fail_unsupported(where, "use_mrope is not known");
}

const Json* object_at(const Json& config, const char* key, const std::string& where) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return nullptr;
  if (!it->is_object()) fail_input(where, "key '{}' is not an object", key);
  return &*it;
}

double positive(double value, const char* key, const std::string& where) {
  if (!(value > 0) || !std::isfinite(value)) fail_input(where, "{} of {} is not a positive number", key, value);
  return value;
}

std::int64_t in_range(std::int64_t value, const char* key, const std::string& where) {
  constexpr std::int64_t kLimit = 1 << 24;  // far above any model, and products of two stay exact
  if (value < 1 || value > kLimit) fail_input(where, "{} of {} is out of range", key, value);
  return value;
}

RopeScaling parse_scaling(const Json& rope, const std::string& where) {
  auto type = json_find<std::string>(rope, "rope_type", where);
  if (!type) type = json_find<std::string>(rope, "type", where);  // the older spelling
  for (const auto& [key, value] : rope.items())
    if (value.is_object()) fail_unsupported(where, "rope parameters per layer type ('{}') are not known", key);
  if (const auto part = json_find<double>(rope, "partial_rotary_factor", where); part && *part != 1.0)
    fail_unsupported(where, "partial_rotary_factor {} is not known (1 is)", *part);
  RopeScaling out;
  if (!type || *type == "default") return out;
  if (*type != "linear" && *type != "llama3")
    fail_unsupported(where, "rope type '{}' is not known (default, linear and llama3 are)", *type);
  const auto number = [&](const char* key) { return positive(json_get<double>(rope, key, where), key, where); };
  out.factor = number("factor");
  out.kind = RopeScaling::Kind::linear;
  if (*type == "linear") return out;
  out.kind = RopeScaling::Kind::llama3;
  out.low_freq_factor = number("low_freq_factor");
  out.high_freq_factor = number("high_freq_factor");
  out.original_max_position = json_get<std::int64_t>(rope, "original_max_position_embeddings", where);
  if (out.high_freq_factor <= out.low_freq_factor || out.original_max_position < 1)
    fail_input(where, "llama3 rope scaling with low_freq_factor {}, high_freq_factor {} and a context of {}",
               out.low_freq_factor, out.high_freq_factor, out.original_max_position);
  return out;
}

// transformers 5 writes rope_parameters {rope_theta, rope_type, ...}; before, rope_theta stood beside rope_scaling.
// With both, transformers takes rope_scaling.
void parse_rope(const Json& config, const std::string& where, ModelConfig& out) {
  const Json* parameters = object_at(config, "rope_parameters", where);
  const Json* scaling = object_at(config, "rope_scaling", where);
  if (!scaling) scaling = parameters;
  if (scaling) out.rope_scaling = parse_scaling(*scaling, where);
  auto theta = json_find<double>(config, "rope_theta", where);
  for (const Json* source : {parameters, scaling})
    if (source)
      if (const auto own = json_find<double>(*source, "rope_theta", where)) theta = own;
  out.rope_theta = positive(theta.value_or(10000), "rope_theta", where);  // Llama 1 and 2 leave it out
}

void parse_special_tokens(const Json& config, const std::string& where, ModelConfig& out) {
  out.bos_token = json_find<std::int64_t>(config, "bos_token_id", where);
  const auto eos = config.find("eos_token_id");
  if (eos == config.end() || eos->is_null()) return;
  if (eos->is_array())
    out.eos_tokens = json_get<std::vector<std::int64_t>>(config, "eos_token_id", where);
  else
    out.eos_tokens = {json_get<std::int64_t>(config, "eos_token_id", where)};
}

void check(const ModelConfig& c, const std::string& where) {
  in_range(c.kv_heads, "num_key_value_heads", where);
  in_range(c.head_dim, "head_dim", where);
  if (c.heads % c.kv_heads != 0)
    fail_input(where, "{} attention heads cannot share {} key-value heads", c.heads, c.kv_heads);
  if (c.head_dim % 2 != 0) fail_input(where, "head_dim of {} is odd", c.head_dim);
  if (c.max_position < 0) fail_input(where, "max_position_embeddings of {}", c.max_position);
}

}  // namespace

ModelConfig parse_hf_config(const Json& config, const std::string& where) {
  const Family& family = family_of(config, where);
  refuse_unknown_variants(config, where);
  ModelConfig out;
  out.family = family.model_type;
  const auto integer = [&](const char* key) {
    return in_range(json_get<std::int64_t>(config, key, where), key, where);
  };
  out.hidden = integer("hidden_size"), out.layers = integer("num_hidden_layers");
  out.heads = integer("num_attention_heads"), out.intermediate = integer("intermediate_size");
  out.vocab = integer("vocab_size");
  out.max_position = json_find<std::int64_t>(config, "max_position_embeddings", where).value_or(0);
  out.rms_eps = positive(json_get<double>(config, "rms_norm_eps", where), "rms_norm_eps", where);
  out.tied_head = json_find<bool>(config, "tie_word_embeddings", where).value_or(false);
  family.read(config, where, out);
  if (out.head_dim == 0) {
    const auto explicit_dim = json_find<std::int64_t>(config, "head_dim", where);
    if (!explicit_dim && out.hidden % out.heads != 0)
      fail_input(where, "hidden_size {} is not a multiple of {} attention heads", out.hidden, out.heads);
    out.head_dim = explicit_dim ? *explicit_dim : out.hidden / out.heads;
  }
  parse_rope(config, where, out);
  parse_special_tokens(config, where, out);
  check(out, where);
  return out;
}

}  // namespace nearplane
