// Llama 1 to 3 and what is built like it (SmolLM2, TinyLlama, ...): all projections with or without biases.
#include "model/arch/family.h"

namespace nearplane {
namespace {

void read(const Json& config, const std::string& where, ModelConfig& out) {
  // Llama 1 and 2 configs may lack the field: every head has its own keys there.
  out.kv_heads = json_find<std::int64_t>(config, "num_key_value_heads", where).value_or(out.heads);
  out.qkv_bias = out.o_bias = json_find<bool>(config, "attention_bias", where).value_or(false);
  out.mlp_bias = json_find<bool>(config, "mlp_bias", where).value_or(false);
}

}  // namespace

const Family kLlama{"llama", "LlamaForCausalLM", read};

}  // namespace nearplane
