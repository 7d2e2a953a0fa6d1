// The tokenizer of the demo model (scripts/fetch-demo-model) against ids of Hugging Face's tokenizers, whose tokenizer
// was built by hand from the same file. Runs where NEARPLANE_DEMO_MODEL names the file.
#include <gtest/gtest.h>

#include <cstdlib>

#include "container/tensor_file.h"
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
}

}  // namespace
}  // namespace nearplane
