// The tokenizer and chat template of the demo model (scripts/fetch-demo-model) against ids of Hugging Face's tokenizers
// and transformers, whose tokenizer was built by hand from the same file. Runs where NEARPLANE_DEMO_MODEL names the
// file.
#include <gtest/gtest.h>

#include <cstdlib>

#include "container/tensor_file.h"
#include "runtime/chat_template.h"
#include "tokenizer_golden.h"

namespace nearplane {
namespace {

TEST(DemoTokenizer, GoldenTexts) {
  const char* path = std::getenv("NEARPLANE_DEMO_MODEL");
  if (path == nullptr) GTEST_SKIP() << "NEARPLANE_DEMO_MODEL does not name the demo model";
  const auto file = open_gguf(path);
  const auto tokenizer = tokenizer_from_json(tokenizer_json_from_gguf(file.metadata(), path), path);
  const auto texts = read_json(kTokenizerGolden / "texts.json");
  const auto expected = read_json(kTokenizerGolden / "demo" / "expected.json");
  expect_written(*tokenizer, texts, expected);
  expect_random(*tokenizer, texts, expected);
  // Whole conversations: the ids of apply_chat_template, with the texts of the messages quoted.
  const auto format = open_chat_format(path);
  for (const auto& conversation : read_json(kTokenizerGolden / "../chat/formats.json")["smollm2"]["conversations"]) {
    std::optional<std::string> system;
    std::vector<ChatMessage> said;
    for (const auto& message : conversation["messages"])
      if (message["role"] == "system")
        system = message["content"];
      else
        said.push_back({message["role"] == "user" ? ChatRole::user : ChatRole::assistant, message["content"]});
    const auto prompt = format.render(system, said);
    EXPECT_EQ(tokenizer->encode_quoting(prompt.text, prompt.quoted), conversation["ids"].get<std::vector<Token>>())
        << prompt.text;
  }
}

}  // namespace
}  // namespace nearplane
