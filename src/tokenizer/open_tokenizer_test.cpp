#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "expect_error.h"
#include "temporary_folder.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {
namespace {

const std::filesystem::path kGolden = NEARPLANE_SOURCE_DIR "/tests/golden/tokenizer";

class OpenTokenizer : public testing::Test {
 protected:
  const std::string model = read_file(kGolden / "sentencepiece" / "tokenizer.model");
  TemporaryFolder folder;

  std::vector<Token> encode(const std::string& config, const std::string& text) {
    folder.write("tokenizer.model", model);
    folder.write("tokenizer_config.json", config);
    return open_tokenizer(folder.path())->encode(text, true);
  }
  void refused(const std::string& config, ErrorCode code, std::initializer_list<std::string> parts) {
    expect_error(code, {folder.path().string()}, [&] { encode(config, ""); });
    expect_error(code, parts, [&] { encode(config, ""); });
  }
};

TEST_F(OpenTokenizer, NothingThere) {
  expect_error(ErrorCode::bad_input, {folder.path().string(), "tokenizer.json", "tokenizer.model"},
               [&] { open_tokenizer(folder.path()); });
}

TEST_F(OpenTokenizer, ModelWithoutConfig) {
  folder.write("tokenizer.model", model);
  EXPECT_EQ(open_tokenizer(folder.path())->encode("", true), std::vector<Token>{1});  // <s>
}

TEST_F(OpenTokenizer, ConfigSaysWhatStandsAround) {
  EXPECT_EQ(encode(R"({"add_bos_token": false})", ""), std::vector<Token>{});
  EXPECT_EQ(encode(R"({"add_eos_token": true})", ""), (std::vector<Token>{1, 2}));
  EXPECT_EQ(encode(R"({"bos_token": {"content": "</s>"}})", ""), (std::vector<Token>{2}));
  EXPECT_EQ(encode(R"({"bos_token": null})", ""), std::vector<Token>{});
  EXPECT_EQ(encode(R"({"bos_token": null, "pad_token": "<pad>"})", "<pad>"), std::vector<Token>{600});
}

TEST_F(OpenTokenizer, RefusesOtherConfigs) {
  refused("[]", ErrorCode::bad_input, {"tokenizer_config.json", "object"});
  refused(R"({"tokenizer_class": "GemmaTokenizer"})", ErrorCode::unsupported, {"GemmaTokenizer"});
  refused(R"({"sp_model_kwargs": {"nbest_size": 2}})", ErrorCode::unsupported, {"sp_model_kwargs", "nbest_size"});
  refused(R"({"add_prefix_space": false})", ErrorCode::unsupported, {"add_dummy_prefix", "add_prefix_space"});
  refused(R"({"added_tokens_decoder": {"700": {"content": "<x>"}}})", ErrorCode::bad_input, {"<x>", "700", "600"});
  refused(R"({"added_tokens_decoder": {"600": {"content": "<x>"}, "601": {"content": "<x>"}}})", ErrorCode::bad_input,
          {"<x>", "twice"});
  folder.write("added_tokens.json", R"({"<x>": 600})");
  refused("{}", ErrorCode::unsupported, {"added_tokens.json"});
}

// model_type is 2 and the normalizer changes nothing: other values sit in the trailing fields of the file.
TEST_F(OpenTokenizer, RefusesOtherModels) {
  const auto with_fields = [&](const std::string& fields) {
    folder.write("tokenizer.model", model + fields);
    open_tokenizer(folder.path());
  };
  const auto where = (folder.path() / "tokenizer.model").string();
  expect_error(ErrorCode::unsupported, {where, "model type 1"}, [&] { with_fields("\x12\x02\x18\x01"); });
  expect_error(ErrorCode::unsupported, {where, "white space"}, [&] { with_fields("\x1a\x02\x20\x01"); });
}

TEST_F(OpenTokenizer, DamagedModels) {
  const auto where = (folder.path() / "tokenizer.model").string();
  for (const auto& bytes :
       {std::string(), std::string("no model"), model.substr(0, model.size() / 2), model + "\xff"}) {
    folder.write("tokenizer.model", bytes);
    try {
      open_tokenizer(folder.path());
      ADD_FAILURE() << bytes.size() << " bytes were read";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(where), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace nearplane
