// Text from a model or store.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "nearplane/quantize.h"

namespace nearplane {

struct GenerateOptions {
  std::int64_t tokens = 256;
  double temperature = 0;  // 0 = always the most likely token
  std::uint64_t seed = 0;
};

struct GenerateResult {
  std::string text;
  std::int64_t prompt_tokens = 0, tokens = 0;
  double prompt_seconds = 0, seconds = 0;
};

class Generator {
 public:
  explicit Generator(const std::filesystem::path& model, Arithmetic arithmetic = Arithmetic::f32, int threads = 0);
  ~Generator();
  /// Continues `prompt`; `on_text` receives the text as it grows and returns false to stop. Error{bad_input} if prompt
  /// and tokens do not fit the model's context.
  GenerateResult generate(std::string_view prompt, const GenerateOptions& options,
                          const std::function<bool(std::string_view)>& on_text);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nearplane
