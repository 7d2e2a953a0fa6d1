#include "model/tensors.h"

#include "base/check.h"

namespace nearplane {

std::string linear_name(std::int64_t layer, LinearKind kind) {
  static constexpr std::array kModules{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                       "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};
  return fmt::format("model.layers.{}.{}", layer, kModules[static_cast<std::size_t>(kind)]);
}

std::array<std::int64_t, 2> linear_shape(const ModelConfig& c, LinearKind kind) {
  switch (kind) {
    case LinearKind::q:
      return {c.heads * c.head_dim, c.hidden};
    case LinearKind::k:
    case LinearKind::v:
      return {c.kv_heads * c.head_dim, c.hidden};
    case LinearKind::o:
      return {c.hidden, c.heads * c.head_dim};
    case LinearKind::gate:
    case LinearKind::up:
      return {c.intermediate, c.hidden};
    case LinearKind::down:
      break;
  }
  return {c.hidden, c.intermediate};
}

bool linear_has_bias(const ModelConfig& c, LinearKind kind) {
  if (kind <= LinearKind::v) return c.qkv_bias;
  return kind == LinearKind::o ? c.o_bias : c.mlp_bias;
}

std::vector<TensorSpec> expected_tensors(const ModelConfig& c) {
  std::vector<TensorSpec> out;
  out.push_back({"model.embed_tokens.weight", {c.vocab, c.hidden}});
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const auto layer = fmt::format("model.layers.{}.", i);
    out.push_back({layer + "input_layernorm.weight", {c.hidden}});
    if (c.qk_norm) {
      out.push_back({layer + "self_attn.q_norm.weight", {c.head_dim}});
      out.push_back({layer + "self_attn.k_norm.weight", {c.head_dim}});
    }
    for (const auto kind : kLinearKinds) {
      if (kind == LinearKind::gate) out.push_back({layer + "post_attention_layernorm.weight", {c.hidden}});
      const auto [rows, cols] = linear_shape(c, kind);
      out.push_back({linear_name(i, kind) + ".weight", {rows, cols}});
      if (linear_has_bias(c, kind)) out.push_back({linear_name(i, kind) + ".bias", {rows}});
    }
  }
  out.push_back({"model.norm.weight", {c.hidden}});
  if (!c.tied_head) out.push_back({"lm_head.weight", {c.vocab, c.hidden}});
  return out;
}

}  // namespace nearplane
