#include "tokenizer/gguf_vocabulary.h"

#include "base/atomic_file.h"
#include "expect_error.h"
#include "temporary_folder.h"
#include "tokenizer_golden.h"

namespace nearplane {
namespace {

class GgufVocabulary : public testing::Test {
 protected:
  Json golden(const std::string& name) const { return read_json(kTokenizerGolden / name / "tokenizer.json"); }
  // The metadata of a file whose tokenizer came from this folder.
  Json metadata(std::int64_t rows) const {
    GgufMetadata out;
    add_gguf_tokenizer(folder.path(), rows, {}, out);
    GgufWriter(folder.path() / "m.gguf", out, {}).commit();
    return open_gguf(folder.path() / "m.gguf").metadata();
  }
  void refused(ErrorCode code, const Json& json, std::int64_t rows, std::initializer_list<std::string> parts) const {
    folder.write("tokenizer.json", json.dump());
    expect_error(code, parts, [&] { metadata(rows); });
  }
  TemporaryFolder folder;
};

TEST_F(GgufVocabulary, GivesTheSameTokens) {
  const auto texts = read_json(kTokenizerGolden / "texts.json")["written"];
  for (const auto& [name, pre] :
       {std::pair{"smollm", "smollm"}, {"llama3", "llama-bpe"}, {"qwen2", "qwen2"}, {"gpt2", "gpt2"}}) {
    auto json = golden(name);
    if (std::string(name) == "gpt2") json["pre_tokenizer"]["add_prefix_space"] = false;
    if (json["added_tokens"].size() > 2)  // what GGUF cannot say
      json["added_tokens"].erase(json["added_tokens"].begin() + 2, json["added_tokens"].end());
    folder.write("tokenizer.json", json.dump());
    const auto ours = open_tokenizer(folder.path());
    Json config = {{"chat_template", "{{ x }}"}};
    const auto first = json["added_tokens"][0]["content"].get<std::string>();
    config["bos_token"] = {{"content", first}};
    config["eos_token"] = json["added_tokens"][0]["content"];
    const auto frame = ours->encode("", true);
    if (!frame.empty()) config["bos_token"] = ours->decode(frame, false);
    folder.write("tokenizer_config.json", config.dump());
    const auto read = metadata(ours->vocab_size() + 3);
    EXPECT_EQ(read["tokenizer.ggml.pre"], pre);
    EXPECT_EQ(read["tokenizer.ggml.tokens"].size(), static_cast<std::size_t>(ours->vocab_size() + 3));
    EXPECT_EQ(read["tokenizer.ggml.token_type"].back(), 5);
    EXPECT_EQ(read["tokenizer.ggml.eos_token_id"], ours->find(first));
    EXPECT_EQ(read["tokenizer.ggml.add_bos_token"], !frame.empty());
    EXPECT_EQ(read["tokenizer.chat_template"], "{{ x }}");
    const auto theirs = tokenizer_from_json(tokenizer_json_from_gguf(read, name), name);
    for (const auto& [group, list] : texts.items())
      for (const auto& text : list)
        EXPECT_EQ(theirs->encode(text.get<std::string>(), true), ours->encode(text.get<std::string>(), true))
            << name << " " << group;
  }
}

TEST_F(GgufVocabulary, RefusesWhatGgufCannotSay) {
  const auto good = golden("smollm");
  auto json = good;
  json["pre_tokenizer"]["pretokenizers"][0]["individual_digits"] = false;
  refused(ErrorCode::unsupported, json, 1000, {"tokenizer.json", "no name in GGUF"});
  json = good;
  json["added_tokens"][0]["lstrip"] = true;
  refused(ErrorCode::unsupported, json, 1000, {"white space"});
  json = good;
  json["model"]["ignore_merges"] = true;
  refused(ErrorCode::unsupported, json, 1000, {"no name in GGUF"});
  refused(ErrorCode::bad_input, good, 100, {"the embedding has 100 rows"});
  json = good;
  json["model"]["merges"].push_back(7);
  refused(ErrorCode::bad_input, json, 1000, {"is not two tokens"});
  refused(ErrorCode::unsupported, golden("gpt2"), 1000, {"no name in GGUF"});  // puts a space before the text
  refused(ErrorCode::unsupported, golden("llama-bytes"), 1000, {"no name in GGUF"});
  folder.write("tokenizer_config.json", R"({"eos_token": "nowhere"})");
  refused(ErrorCode::bad_input, good, 1000, {"eos_token 'nowhere' is not in the vocabulary"});
  folder.write("tokenizer_config.json", "{}");
  refused(ErrorCode::unsupported, golden("llama3"), 1000, {"other tokens than bos_token"});
}

}  // namespace
}  // namespace nearplane
