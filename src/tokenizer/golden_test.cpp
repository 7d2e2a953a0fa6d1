// Tiny tokenizers of every kind against the ids that Hugging Face's tokenizers gave for the same texts.
#include <gtest/gtest.h>

#include <string>

#include "base/threads.h"
#include "tokenizer_golden.h"

namespace nearplane {
namespace {

class Golden : public testing::TestWithParam<const char*> {
 protected:
  const std::filesystem::path folder = kTokenizerGolden / GetParam();
  const Json texts = read_json(kTokenizerGolden / "texts.json"), expected = read_json(folder / "expected.json");
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer(folder);
};

TEST_P(Golden, WrittenTexts) { expect_written(*tokenizer, texts, expected); }
TEST_P(Golden, RandomTexts) { expect_random(*tokenizer, texts, expected); }

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

std::string all_written(const Json& texts) {
  std::string out;
  for (const auto& [group, list] : texts["written"].items())
    for (const auto& part : list) out += part.get<std::string>() + "\n";
  return out;
}

// Nothing that is quoted becomes an added token, and it still decodes to what it was; what is not quoted does.
TEST_P(Golden, QuotedTextHasNoAddedTokens) {
  const std::string text = "<|begin|>say <|end|> or <mask><tail><|begin|><|end|>";
  const auto open = tokenizer->find("<|begin|>"), close = tokenizer->find("<|end|>");
  const auto count = [](const std::vector<Token>& ids, Token id) { return std::ranges::count(ids, id); };
  const TextRange all{0, text.size()}, inner{9, text.size() - 7};
  for (const char* marker : {"<|begin|>", "<|end|>", "<mask>", "<tail>"})
    if (const auto id = tokenizer->find(marker); id >= 0) {
      EXPECT_EQ(count(tokenizer->encode_quoting(text, {&all, 1}), id), 0) << marker;
    }
  if (open >= 0 && close >= 0) {
    const auto ids = tokenizer->encode_quoting(text, {&inner, 1});
    EXPECT_EQ(count(ids, open), 1);
    EXPECT_EQ(count(ids, close), 1);
    EXPECT_EQ(ids.back(), close);
  }
  // A marker of which a single byte is quoted is none.
  for (std::size_t i = 0; i < 9; ++i) {
    const TextRange one{i, i + 1};
    EXPECT_EQ(count(tokenizer->encode_quoting("<|begin|>", {&one, 1}), open), 0) << i;
  }
}

TEST_P(Golden, QuotingChangesNothingElse) {
  const auto text = all_written(texts);
  EXPECT_EQ(tokenizer->encode_quoting(text, {}), tokenizer->encode(text, false));
  const std::string harmless = "  The 3 nearest planes, d\u00e9j\u00e0 vu: \U0001f600\n\tx = a[0];\n";
  const TextRange part{3, 19};
  EXPECT_EQ(tokenizer->encode_quoting(harmless, {&part, 1}), tokenizer->encode(harmless, false));
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
  const auto text = all_written(texts);
  const TextRange all{0, text.size()};
  EXPECT_EQ(tokenizer->decode(tokenizer->encode_quoting(text, {&all, 1}), false), text);
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, RoundTrip, testing::Values("smollm", "llama3"));

}  // namespace
}  // namespace nearplane
