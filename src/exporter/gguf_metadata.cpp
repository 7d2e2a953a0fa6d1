#include "exporter/gguf_metadata.h"

#include "base/check.h"
#include "model/rope.h"
#include "tokenizer/gguf_vocabulary.h"

namespace nearplane {
namespace {

// Mistral's models are stored as llama.
std::string architecture(const ModelConfig& config) { return config.family == "mistral" ? "llama" : config.family; }

void add_sizes(const ModelConfig& config, GgufMetadata& out) {
  const auto arch = architecture(config) + ".";
  const auto count = [&](const char* name, std::int64_t value) {
    out.u32(arch + name, static_cast<std::uint32_t>(value));
  };
  count("block_count", config.layers);
  count("context_length", config.max_position);
  count("embedding_length", config.hidden);
  count("feed_forward_length", config.intermediate);
  count("attention.head_count", config.heads);
  count("attention.head_count_kv", config.kv_heads);
  count("attention.key_length", config.head_dim);
  count("attention.value_length", config.head_dim);
  count("rope.dimension_count", config.head_dim);
  count("vocab_size", config.vocab);
  out.f32(arch + "attention.layer_norm_rms_epsilon", static_cast<float>(config.rms_eps));
  out.f32(arch + "rope.freq_base", static_cast<float>(config.rope_theta));
  if (config.rope_scaling.kind == RopeScaling::Kind::linear) {
    out.string(arch + "rope.scaling.type", "linear");
    out.f32(arch + "rope.scaling.factor", static_cast<float>(config.rope_scaling.factor));
  }
}

}  // namespace

GgufMetadata gguf_metadata(const ModelConfig& config, const std::filesystem::path& folder) {
  const auto where = (folder / "config.json").string();
  if (config.sliding_window > 0 && config.sliding_window < config.max_position)
    fail_unsupported(where, "a sliding window of {} in a context of {}: readers of GGUF files do not know it for {}",
                     config.sliding_window, config.max_position, config.family);
  const auto& rope = config.rope_scaling;  // the file says only what follows from them
  if (rope.kind == RopeScaling::Kind::llama3 &&
      (rope.low_freq_factor != 1 || rope.high_freq_factor != 4 || rope.original_max_position != 8192))
    fail_unsupported(where, "llama3 rope scaling ({}, {}, {}) is not known in GGUF files (1, 4, 8192 is)",
                     rope.low_freq_factor, rope.high_freq_factor, rope.original_max_position);
  if (config.max_position < 1) fail_input(where, "max_position_embeddings is missing; a GGUF file has to say it");
  GgufMetadata out;
  out.string("general.architecture", architecture(config));
  out.string("general.type", "model");
  out.u32("general.quantization_version", 2);
  add_sizes(config, out);
  add_gguf_tokenizer(folder, config.vocab, config.eos_tokens, out);
  return out;
}

std::optional<std::vector<float>> gguf_rope_factors(const ModelConfig& config) {
  if (config.rope_scaling.kind != RopeScaling::Kind::llama3) return std::nullopt;
  const auto plain = rope_frequencies(config.head_dim, config.rope_theta, {});
  const auto slowed = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling);
  std::vector<float> out;
  for (std::size_t i = 0; i < plain.size(); ++i) out.push_back(static_cast<float>(plain[i] / slowed[i]));
  return out;
}

}  // namespace nearplane
