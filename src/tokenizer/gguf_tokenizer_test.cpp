#include <gtest/gtest.h>

#include <cstdlib>

#include "expect_error.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {
namespace {

constexpr const char* kGolden = NEARPLANE_SOURCE_DIR "/tests/golden/tokenizer";

Json golden(const std::string& name) { return read_json(std::filesystem::path(kGolden) / name / "tokenizer.json"); }

// What a GGUF file would hold of a tokenizer.json whose added tokens follow its vocabulary or are in it.
Json metadata_of(const Json& json, const std::string& pre) {
  Json tokens = Json::array(), types = Json::array(), merges = Json::array();
  const auto put = [&](const std::string& text, std::size_t id, int type) {
    while (tokens.size() <= id) tokens.push_back(""), types.push_back(1);
    tokens[id] = text;
    types[id] = type;
  };
  for (const auto& [text, id] : json["model"]["vocab"].items()) put(text, id, 1);
  for (const auto& token : json["added_tokens"]) put(token["content"], token["id"], token["special"] ? 3 : 4);
  for (const auto& merge : json["model"]["merges"])
    merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  return {{"tokenizer.ggml.model", "gpt2"},
          {"tokenizer.ggml.pre", pre},
          {"tokenizer.ggml.tokens", tokens},
          {"tokenizer.ggml.token_type", types},
          {"tokenizer.ggml.merges", merges},
          {"tokenizer.ggml.bos_token_id", 600},
          {"tokenizer.ggml.eos_token_id", 1},
          {"tokenizer.ggml.padding_token_id", 0},
          {"tokenizer.chat_template", "{{ messages }}"}};
}

// The published form of each named pre-tokenizer gives the same ids as the golden tokenizer.json of its kind.
TEST(GgufTokenizer, IsTheTokenizerThatItsNameStandsFor) {
  const auto texts = read_json(std::filesystem::path(kGolden) / "texts.json")["written"];
  for (const auto& [name, pre] : {std::pair{"smollm", "smollm"}, {"llama3", "llama-bpe"}, {"qwen2", "qwen2"}}) {
    auto json = golden(name);
    if (std::string(name) == "qwen2")
      json["added_tokens"].erase(json["added_tokens"].begin() + 2, json["added_tokens"].end());
    const auto expected = tokenizer_from_json(json, name);
    const auto tokenizer = tokenizer_from_json(tokenizer_json_from_gguf(metadata_of(json, pre), "m.gguf"), name);
    EXPECT_EQ(tokenizer->vocab_size(), expected->vocab_size());
    for (const auto& [group, list] : texts.items())
      for (const auto& text : list)
        EXPECT_EQ(tokenizer->encode(text.get<std::string>(), true), expected->encode(text.get<std::string>(), true))
            << name << " " << group;
  }
}

TEST(GgufTokenizer, Gpt2CutsOnlyByItsPattern) {
  for (const auto* pre : {"gpt2", "default"}) {
    const auto json = tokenizer_json_from_gguf(metadata_of(golden("smollm"), pre), "m.gguf");
    EXPECT_EQ(json["pre_tokenizer"]["type"], "ByteLevel");
    EXPECT_EQ(json["pre_tokenizer"]["add_prefix_space"], false);
  }
}

TEST(GgufTokenizer, AddsBosAndEosAsToldTo) {
  auto metadata = metadata_of(golden("llama3"), "llama-bpe");
  const auto encode = [&] {
    return tokenizer_from_json(tokenizer_json_from_gguf(metadata, "m"), "m")->encode("", true);
  };
  EXPECT_EQ(encode(), std::vector<Token>{600});  // the default of llama-bpe
  metadata["tokenizer.ggml.add_eos_token"] = true;
  EXPECT_EQ(encode(), (std::vector<Token>{600, 1}));
  metadata["tokenizer.ggml.add_bos_token"] = false;
  EXPECT_EQ(encode(), (std::vector<Token>{1}));
  metadata.erase("tokenizer.ggml.eos_token_id");
  expect_error(ErrorCode::bad_input, {"m", "add_eos_token", "eos_token_id"}, encode);
}

TEST(GgufTokenizer, Config) {
  const auto config = tokenizer_config_from_gguf(metadata_of(golden("llama3"), "llama-bpe"), "m.gguf");
  EXPECT_EQ(config["tokenizer_class"], "PreTrainedTokenizerFast");
  EXPECT_EQ(config["bos_token"], "<|begin|>");
  EXPECT_EQ(config["chat_template"], "{{ messages }}");
  EXPECT_FALSE(config.contains("unk_token"));
}

TEST(GgufTokenizer, RefusesOthers) {
  const auto good = metadata_of(golden("smollm"), "smollm");
  const auto refused = [&](const char* key, const Json& value, ErrorCode code,
                           std::initializer_list<std::string> parts) {
    auto metadata = good;
    metadata[std::string("tokenizer.ggml.") + key] = value;
    expect_error(code, {"m.gguf"}, [&] { tokenizer_json_from_gguf(metadata, "m.gguf"); });
    expect_error(code, parts, [&] { tokenizer_json_from_gguf(metadata, "m.gguf"); });
  };
  refused("model", "llama", ErrorCode::unsupported, {"llama", "smollm"});
  refused("pre", "tekken", ErrorCode::unsupported, {"gpt2", "tekken"});
  refused("pre", nullptr, ErrorCode::unsupported, {"gpt2", "(none)"});
  refused("add_space_prefix", true, ErrorCode::unsupported, {"add_space_prefix"});
  refused("tokens", nullptr, ErrorCode::bad_input, {"tokens"});
  refused("token_type", {1, 2}, ErrorCode::bad_input, {"600", "2"});
  refused("tokens", Json(Json::array_t(600, "x")), ErrorCode::bad_input, {"token 1", "twice"});
  refused("tokens", Json(Json::array_t(600, 1)), ErrorCode::bad_input, {"token 0", "string"});
  refused("token_type", Json(Json::array_t(600, 6)), ErrorCode::unsupported, {"token 0", "6"});
  auto metadata = good;
  metadata["tokenizer.ggml.bos_token_id"] = 600;
  expect_error(ErrorCode::bad_input, {"bos_token_id", "600"}, [&] { tokenizer_config_from_gguf(metadata, "m.gguf"); });
}

}  // namespace
}  // namespace nearplane
