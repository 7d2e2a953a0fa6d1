#include <gtest/gtest.h>

#include "expect_error.h"
#include "model/model.h"
#include "model/rope.h"

namespace nearplane {
namespace {

Json llama() {
  return parse_json(R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
    "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2, "intermediate_size": 96,
    "vocab_size": 100, "rms_norm_eps": 1e-6, "hidden_act": "silu", "max_position_embeddings": 2048,
    "eos_token_id": 2, "bos_token_id": 1})",
                    "test");
}

Json of_family(const std::string& type, const std::string& architecture) {
  auto config = llama();
  config["model_type"] = type, config["architectures"] = {architecture};
  return config;
}

Json with(Json config, const char* key, Json value) {
  config[key] = std::move(value);
  return config;
}

Json without(Json config, const char* key) {
  config.erase(key);
  return config;
}

void expect_refused(ErrorCode code, std::initializer_list<std::string> parts, const Json& config) {
  expect_error(code, parts, [&] { parse_hf_config(config, "config.json"); });
}

TEST(Config, Llama) {
  const auto c = parse_hf_config(llama(), "config.json");
  EXPECT_EQ(c.family, "llama");
  EXPECT_EQ(c.hidden, 64);
  EXPECT_EQ(c.layers, 3);
  EXPECT_EQ(c.heads, 8);
  EXPECT_EQ(c.kv_heads, 2);
  EXPECT_EQ(c.head_dim, 8);
  EXPECT_EQ(c.intermediate, 96);
  EXPECT_EQ(c.vocab, 100);
  EXPECT_EQ(c.max_position, 2048);
  EXPECT_EQ(c.rms_eps, 1e-6);
  EXPECT_EQ(c.rope_theta, 10000);
  EXPECT_EQ(c.sliding_window, 0);
  EXPECT_FALSE(c.tied_head || c.qkv_bias || c.o_bias || c.mlp_bias || c.qk_norm);
  EXPECT_EQ(c.eos_tokens, std::vector<std::int64_t>{2});
  EXPECT_EQ(c.bos_token, 1);
}

TEST(Config, LlamaVariants) {
  const auto several = parse_hf_config(with(llama(), "eos_token_id", {5, 7}), "config.json");
  EXPECT_EQ(several.eos_tokens, (std::vector<std::int64_t>{5, 7}));
  const auto none = parse_hf_config(with(without(llama(), "eos_token_id"), "bos_token_id", nullptr), "config.json");
  EXPECT_TRUE(none.eos_tokens.empty());
  EXPECT_FALSE(none.bos_token);
  EXPECT_EQ(parse_hf_config(without(llama(), "num_key_value_heads"), "config.json").kv_heads, 8);
  const auto biased = parse_hf_config(with(with(llama(), "attention_bias", true), "mlp_bias", true), "config.json");
  EXPECT_TRUE(biased.qkv_bias && biased.o_bias && biased.mlp_bias);
  EXPECT_EQ(parse_hf_config(with(llama(), "head_dim", 32), "config.json").head_dim, 32);
}

TEST(Config, RopeInBothSpellings) {
  const Json llama3{{"factor", 8.0},
                    {"low_freq_factor", 1.0},
                    {"high_freq_factor", 4.0},
                    {"original_max_position_embeddings", 8192},
                    {"rope_type", "llama3"}};
  auto modern = llama3;
  modern["rope_theta"] = 500000.0;
  const auto a = parse_hf_config(with(with(llama(), "rope_scaling", llama3), "rope_theta", 500000.0), "config.json");
  const auto b = parse_hf_config(with(llama(), "rope_parameters", modern), "config.json");
  for (const auto& c : {a, b}) {
    EXPECT_EQ(c.rope_theta, 500000);
    EXPECT_EQ(c.rope_scaling.kind, RopeScaling::Kind::llama3);
    EXPECT_EQ(c.rope_scaling.factor, 8);
    EXPECT_EQ(c.rope_scaling.low_freq_factor, 1);
    EXPECT_EQ(c.rope_scaling.high_freq_factor, 4);
    EXPECT_EQ(c.rope_scaling.original_max_position, 8192);
  }
  const auto linear = parse_hf_config(with(llama(), "rope_scaling", {{"type", "linear"}, {"factor", 2.0}}), "c");
  EXPECT_EQ(linear.rope_scaling.kind, RopeScaling::Kind::linear);
  EXPECT_EQ(linear.rope_scaling.factor, 2);
}

TEST(Config, Mistral) {
  const auto base = of_family("mistral", "MistralForCausalLM");
  EXPECT_EQ(parse_hf_config(with(base, "sliding_window", 4096), "config.json").sliding_window, 4096);
  EXPECT_EQ(parse_hf_config(with(base, "sliding_window", nullptr), "config.json").sliding_window, 0);
  expect_refused(ErrorCode::bad_input, {"num_key_value_heads", "missing"}, without(base, "num_key_value_heads"));
  expect_refused(ErrorCode::bad_input, {"sliding_window", "-3"}, with(base, "sliding_window", -3));
}

TEST(Config, Qwen2) {
  auto base = of_family("qwen2", "Qwen2ForCausalLM");
  base["sliding_window"] = 32;
  const auto c = parse_hf_config(base, "config.json");
  EXPECT_TRUE(c.qkv_bias);
  EXPECT_FALSE(c.o_bias);
  EXPECT_EQ(c.sliding_window, 0) << "use_sliding_window is off";
  base["use_sliding_window"] = true;
  EXPECT_EQ(parse_hf_config(with(base, "max_window_layers", 0), "config.json").sliding_window, 32);
  EXPECT_EQ(parse_hf_config(with(base, "max_window_layers", 3), "config.json").sliding_window, 0);
  expect_refused(ErrorCode::unsupported, {"sliding window", "1 of 3"}, with(base, "max_window_layers", 2));
  const Json mixed{"sliding_attention", "full_attention", "sliding_attention"};
  expect_refused(ErrorCode::unsupported, {"2 of 3"}, with(base, "layer_types", mixed));
  const Json odd{"sliding_attention", "full_attention", "linear_attention"};
  expect_refused(ErrorCode::unsupported, {"linear_attention"}, with(base, "layer_types", odd));
}

TEST(Config, Qwen3) {
  const auto base = with(of_family("qwen3", "Qwen3ForCausalLM"), "head_dim", 32);
  const auto c = parse_hf_config(base, "config.json");
  EXPECT_TRUE(c.qk_norm);
  EXPECT_FALSE(c.qkv_bias);
  EXPECT_EQ(c.head_dim, 32);
  EXPECT_TRUE(parse_hf_config(with(base, "attention_bias", true), "config.json").o_bias);
}

TEST(Config, MissingOrImpossibleFieldsAreNamed) {
  for (const auto* key : {"model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                          "vocab_size", "rms_norm_eps"})
    expect_refused(ErrorCode::bad_input, {"config.json", key, "missing"}, without(llama(), key));
  expect_refused(ErrorCode::bad_input, {"hidden_size", "integer"}, with(llama(), "hidden_size", "64"));
  expect_refused(ErrorCode::bad_input, {"vocab_size", "0"}, with(llama(), "vocab_size", 0));
  expect_refused(ErrorCode::bad_input, {"num_hidden_layers", "range"}, with(llama(), "num_hidden_layers", 1ll << 40));
  expect_refused(ErrorCode::bad_input, {"num_attention_heads", "0"}, with(llama(), "num_attention_heads", 0));
  expect_refused(ErrorCode::bad_input, {"8 attention heads", "3"}, with(llama(), "num_key_value_heads", 3));
  expect_refused(ErrorCode::bad_input, {"num_key_value_heads", "0"}, with(llama(), "num_key_value_heads", 0));
  expect_refused(ErrorCode::bad_input, {"hidden_size 60", "8"}, with(llama(), "hidden_size", 60));
  expect_refused(ErrorCode::bad_input, {"head_dim", "odd"}, with(llama(), "head_dim", 7));
  expect_refused(ErrorCode::bad_input, {"rms_norm_eps", "-1"}, with(llama(), "rms_norm_eps", -1.0));
  expect_refused(ErrorCode::bad_input, {"rope_theta", "0"}, with(llama(), "rope_theta", 0));
  expect_refused(ErrorCode::bad_input, {"factor", "missing"}, with(llama(), "rope_scaling", {{"rope_type", "linear"}}));
  expect_refused(ErrorCode::bad_input, {"rope_scaling", "object"}, with(llama(), "rope_scaling", 4));
}

TEST(Config, WhatIsNotUnderstoodIsNamed) {
  const auto refused = ErrorCode::unsupported;
  expect_refused(refused, {"GPT2LMHeadModel", "gpt2"}, of_family("gpt2", "GPT2LMHeadModel"));
  expect_refused(refused, {"LlamaForSequenceClassification"}, of_family("llama", "LlamaForSequenceClassification"));
  expect_refused(refused, {"hidden_act", "gelu"}, with(llama(), "hidden_act", "gelu"));
  expect_refused(refused, {"yarn"}, with(llama(), "rope_scaling", {{"rope_type", "yarn"}, {"factor", 4.0}}));
  expect_refused(refused, {"quantization_config", "gptq"},
                 with(llama(), "quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}));
  expect_refused(refused, {"partial_rotary_factor", "0.5"}, with(llama(), "partial_rotary_factor", 0.5));
  expect_refused(refused, {"full_attention"},
                 with(llama(), "rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}));
}

TEST(Rope, FrequenciesAndScalings) {
  const auto plain = rope_frequencies(4, 100, {});
  EXPECT_EQ(plain.size(), 2u);
  EXPECT_DOUBLE_EQ(plain[0], 1);
  EXPECT_DOUBLE_EQ(plain[1], 0.1);
  EXPECT_DOUBLE_EQ(rope_frequencies(4, 100, {RopeScaling::Kind::linear, 8})[1], 0.1 / 8);
  // In 100 tokens the first pair turns 15.9 times, the second 1.59 times: between 1 and 4, a share of 0.197 is kept.
  const auto llama3 = rope_frequencies(4, 100, {RopeScaling::Kind::llama3, 8, 1, 4, 100});
  EXPECT_DOUBLE_EQ(llama3[0], 1);
  EXPECT_NEAR(llama3[1], 0.1 * (0.1972 + 0.8028 / 8), 1e-5);
  EXPECT_DOUBLE_EQ(rope_frequencies(4, 100, {RopeScaling::Kind::llama3, 8, 2, 4, 100})[1], 0.1 / 8);
}

}  // namespace
}  // namespace nearplane
