// A family of models: which names it goes by, and what its config adds to the common fields. One file per family.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "model/model.h"

namespace nearplane {

struct Family {
  std::string_view model_type;    // Hugging Face's; also general.architecture of a GGUF file
  std::string_view architecture;  // class name in config.json
  /// Sets kv_heads, biases, q/k norms and the window from config.json; hidden, layers and heads are already known.
  void (*read)(const Json& config, const std::string& where, ModelConfig& out);
};

extern const Family kLlama, kMistral, kQwen2, kQwen3;
std::span<const Family* const> families();

/// The window of the Qwen families, which may differ from layer to layer: 0 if no layer has one. Error{unsupported} if
/// some layers have a window and others do not.
std::int64_t qwen_window(const Json& config, const std::string& where, std::int64_t layers);

}  // namespace nearplane
