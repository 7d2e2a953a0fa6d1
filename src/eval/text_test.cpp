#include "eval/text.h"

#include <gtest/gtest.h>

#include <set>

#include "byte_tokenizer.h"
#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

std::string all_text(const EvaluationText& text) {
  std::string out;
  for (const auto& w : text.windows) out.append(w.begin(), w.end());
  return out;
}

TEST(EvaluationText, PlainIsTheFileInSequenceWithoutTheTail) {
  TemporaryFolder folder;
  EvaluateOptions options;
  options.text = folder.write("t.txt", "ab\r\ncdefghi");
  options.length = 5;
  const auto text = read_evaluation_text(options, ByteTokenizer());
  EXPECT_EQ(all_text(text), "ab\r\ncdefgh");
  EXPECT_EQ(text.bytes, 11);
  EXPECT_EQ(text.lines, 1);
  EXPECT_EQ(text.carriage_returns, 1);
  EXPECT_EQ(text.tokens, 11);
  options.windows = 1;
  EXPECT_EQ(all_text(read_evaluation_text(options, ByteTokenizer())), "ab\r\nc");
}

TEST(EvaluationText, Wikitext2JoinsTheLinesAsDocuments) {
  TemporaryFolder folder;
  EvaluateOptions options;
  options.text = folder.write("t.raw", " \n = A = \n \n text one \n");
  options.protocol = Protocol::wikitext2;
  options.length = 5;
  // documents: "", " = A = \n", "", " text one \n"
  EXPECT_EQ(all_text(read_evaluation_text(options, ByteTokenizer())), "\n\n = A = \n\n\n\n\n text one \n");
}

TEST(EvaluationText, C4DrawsOneWindowFromEachLongDocument) {
  TemporaryFolder folder;
  std::string lines;
  for (int d = 0; d < 40; ++d)
    lines += "{\"text\": \"" + std::string(d % 2 ? 3 : 50, static_cast<char>('A' + d / 2)) + "\"}\n";
  EvaluateOptions options;
  options.text = folder.write("t.jsonl", lines);
  options.protocol = Protocol::c4;
  options.length = 10, options.windows = 8;
  const auto text = read_evaluation_text(options, ByteTokenizer());
  ASSERT_EQ(text.windows.size(), 8u);
  std::set<Token> documents;
  for (const auto& w : text.windows) {
    EXPECT_EQ(w.size(), 10u);
    documents.insert(w.front());
  }
  EXPECT_EQ(documents.size(), 8u);
  EXPECT_EQ(read_evaluation_text(options, ByteTokenizer()).windows, text.windows);
  options.seed = 1;
  EXPECT_NE(read_evaluation_text(options, ByteTokenizer()).windows, text.windows);
  options.length = 50;
  expect_error(ErrorCode::bad_input, {"t.jsonl", "50"}, [&] { read_evaluation_text(options, ByteTokenizer()); });
}

TEST(EvaluationText, RefusesWhatCannotFillOneWindow) {
  TemporaryFolder folder;
  EvaluateOptions options;
  options.length = 10;
  options.text = folder.write("empty.txt", "");
  expect_error(ErrorCode::bad_input, {"empty.txt"}, [&] { read_evaluation_text(options, ByteTokenizer()); });
  options.text = folder.write("short.txt", "nine byte");
  expect_error(ErrorCode::bad_input, {"short.txt", "9 tokens", "10"},
               [&] { read_evaluation_text(options, ByteTokenizer()); });
}

}  // namespace
}  // namespace nearplane
