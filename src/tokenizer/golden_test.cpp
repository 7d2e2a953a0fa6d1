// Tiny tokenizers of every kind against the ids that Hugging Face's tokenizers gave for the same texts.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/threads.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

const std::filesystem::path kGolden = NEARPLANE_SOURCE_DIR "/tests/golden/tokenizer";

std::string from_hex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

// FNV-1a over ids, as make_tokenizer_goldens.py has it.
std::string hash_of(const std::vector<Token>& ids) {
  std::uint64_t h = 0xcbf29ce484222325;
  for (const Token id : ids) h = (h ^ static_cast<std::uint64_t>(id)) * 0x100000001b3;
  char out[9];
  std::snprintf(out, sizeof out, "%08x", static_cast<unsigned>(h));
  return out;
}

class Golden : public testing::TestWithParam<const char*> {
 protected:
  const std::filesystem::path folder = kGolden / GetParam();
  const Json texts = read_json(kGolden / "texts.json"), expected = read_json(folder / "expected.json");
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(folder);
};

TEST_P(Golden, WrittenTexts) {
  for (const auto& [group, list] : texts["written"].items())
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto& want = expected["written"][group][i];
      const auto text = list[i].get<std::string>();
      const auto ids = tokenizer->encode(text, true);
      EXPECT_EQ(ids, want["ids"].get<std::vector<Token>>()) << group << " " << i << ": " << text;
      const auto decoded = want.contains("decoded") ? want["decoded"].get<std::string>() : text;
      EXPECT_EQ(replace_invalid_utf8(tokenizer->decode(ids, true)), decoded) << group << " " << i;
    }
}

TEST_P(Golden, RandomTexts) {
  for (const auto* kind : {"bytes", "characters"}) {
    const auto hashes = expected["hashes"][kind].get<std::string>();
    ASSERT_EQ(hashes.size(), 8 * texts[kind].size());
    for (std::size_t i = 0; i < texts[kind].size(); ++i) {
      const auto hex = texts[kind][i].get<std::string>();
      const auto ids = tokenizer->encode(from_hex(hex), true);
      EXPECT_EQ(hash_of(ids), hashes.substr(8 * i, 8))
          << kind << " " << i << ": " << hex << ": " << testing::PrintToString(ids);
    }
  }
}

// A long text makes many batches and many cut pieces; the number of threads that share them must not show.
TEST_P(Golden, ThreadsDoNotShow) {
  std::string text;
  for (int i = 0; i < 12; ++i)
    for (const auto& [group, list] : texts["written"].items())
      for (const auto& part : list) text += part.get<std::string>() + (i % 2 == 0 ? " " : "\n");
  set_thread_count(1);
  const auto one = tokenizer->encode(text, false);
  for (const int threads : {2, 3, 8}) {
    set_thread_count(threads);
    EXPECT_EQ(tokenizer->encode(text, false), one);
  }
  set_thread_count(0);
}

TEST_P(Golden, FindsTokensByText) {
  for (const auto* text : {"<|begin|>", "<|end|>"}) {
    const Token id = tokenizer->find(text);
    if (id < 0) continue;
    EXPECT_EQ(tokenizer->encode(text, false), std::vector<Token>{id});
    EXPECT_LT(id, tokenizer->vocab_size());
    EXPECT_EQ(tokenizer->decode(std::vector<Token>{id}, false), text);
  }
  EXPECT_EQ(tokenizer->find("no such token"), -1);
}

// Ids of padding behind the vocabulary, or of nothing at all, give no text.
TEST_P(Golden, UnknownIdsDecodeToNothing) {
  const std::vector<Token> ids = {-1, static_cast<Token>(tokenizer->vocab_size()), INT32_MAX, INT32_MIN};
  EXPECT_EQ(tokenizer->decode(ids, false), "");
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, Golden,
                         testing::Values("smollm", "llama3", "qwen2", "gpt2", "llama-bytes", "metaspace",
                                         "sentencepiece", "sentencepiece-legacy"),
                         [](const auto& tokenizer) {
                           std::string name = tokenizer.param;
                           std::erase(name, '-');
                           return name;
                         });

// Byte-level tokenizers without a normalizer lose nothing: any valid text comes back, and invalid bytes as U+FFFD.
class RoundTrip : public Golden {};

TEST_P(RoundTrip, TextComesBack) {
  for (const auto& [group, list] : texts["written"].items())
    for (const auto& part : list) {
      const auto text = part.get<std::string>();
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false), false), text);
    }
  for (const auto* kind : {"bytes", "characters"})
    for (const auto& hex : texts[kind]) {
      const auto bytes = from_hex(hex.get<std::string>());
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(bytes, false), false), replace_invalid_utf8(bytes));
    }
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, RoundTrip, testing::Values("smollm", "llama3"));

}  // namespace
}  // namespace nearplane
