// Mistral: Llama without biases, every layer with the same sliding window if there is one.
#include "base/check.h"
#include "model/arch/family.h"

namespace nearplane {
namespace {

void read(const Json& config, const std::string& where, ModelConfig& out) {
  out.kv_heads = json_get<std::int64_t>(config, "num_key_value_heads", where);
  const auto window = json_find<std::int64_t>(config, "sliding_window", where);
  if (window && *window < 1) fail_input(where, "sliding_window of {} tokens", *window);
  out.sliding_window = window.value_or(0);
}

}  // namespace

const Family kMistral{"mistral", "MistralForCausalLM", read};

}  // namespace nearplane
