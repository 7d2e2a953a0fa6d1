#include "model/arch/family.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace nearplane {

std::span<const Family* const> families() {
  static constexpr std::array<const Family*, 4> all{&kLlama, &kMistral, &kQwen2, &kQwen3};
  return all;
}

// layer_types names the attention of each layer (transformers 5); before that, layers from max_window_layers on slid.
std::int64_t qwen_window(const Json& config, const std::string& where, std::int64_t layers) {
  if (!json_find<bool>(config, "use_sliding_window", where).value_or(false)) return 0;
  const auto window = json_find<std::int64_t>(config, "sliding_window", where).value_or(0);
  if (window < 1) fail_input(where, "use_sliding_window with a sliding_window of {} tokens", window);
  std::int64_t sliding = 0;
  if (const auto types = json_find<std::vector<std::string>>(config, "layer_types", where)) {
    if (std::ssize(*types) != layers)
      fail_input(where, "layer_types has {} entries for {} layers", types->size(), layers);
    for (const auto& type : *types)
      if (type != "sliding_attention" && type != "full_attention")
        fail_unsupported(where, "layer type '{}' is not known", type);
    sliding = std::ranges::count(*types, "sliding_attention");
  } else {
    sliding = layers - std::clamp<std::int64_t>(json_get<std::int64_t>(config, "max_window_layers", where), 0, layers);
  }
  if (sliding != 0 && sliding != layers)
    fail_unsupported(where, "a sliding window on {} of {} layers (all or none are supported)", sliding, layers);
  return sliding == 0 ? 0 : window;
}

}  // namespace nearplane
