// Qwen3 (dense): a norm over each head of q and k before rope, the head dimension explicit, biases only if asked for.
#include "model/arch/family.h"

namespace nearplane {
namespace {

void read(const Json& config, const std::string& where, ModelConfig& out) {
  out.kv_heads = json_get<std::int64_t>(config, "num_key_value_heads", where);
  // Its default is a number, not hidden / heads: a config that leaves it out means that number.
  out.head_dim = json_find<std::int64_t>(config, "head_dim", where).value_or(128);
  out.qkv_bias = out.o_bias = json_find<bool>(config, "attention_bias", where).value_or(false);
  out.qk_norm = true;
  out.sliding_window = qwen_window(config, where, out.layers);
}

}  // namespace

const Family kQwen3{"qwen3", "Qwen3ForCausalLM", read};

}  // namespace nearplane
