// Qwen2 and Qwen2.5: biases on q, k and v, none on the output; an optional window.
#include "model/arch/family.h"

namespace nearplane {
namespace {

void read(const Json& config, const std::string& where, ModelConfig& out) {
  out.kv_heads = json_get<std::int64_t>(config, "num_key_value_heads", where);
  out.qkv_bias = true;
  out.sliding_window = qwen_window(config, where, out.layers);
}

}  // namespace

const Family kQwen2{"qwen2", "Qwen2ForCausalLM", read};

}  // namespace nearplane
