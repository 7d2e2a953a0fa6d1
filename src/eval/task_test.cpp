#include "eval/task.h"

#include <gtest/gtest.h>

#include "byte_tokenizer.h"
#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

TEST(Questions, AreReadAndRefusedByLine) {
  TemporaryFolder folder;
  const std::string good = R"({"query": "a", "choices": ["b", "c"], "gold": 1})";
  const auto read = read_questions(folder.write("good.jsonl", good + "\n\n" + good));
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[1].line, 3);
  EXPECT_EQ(read[0].query, "a");
  EXPECT_EQ(read[0].choices, (std::vector<std::string>{"b", "c"}));
  EXPECT_EQ(read[0].gold, 1u);
  const auto refused = [&](const std::string& line, const std::string& reason) {
    const auto path = folder.write("bad.jsonl", good + "\n" + line);
    expect_error(ErrorCode::bad_input, {"bad.jsonl", "line 2", reason}, [&] { read_questions(path); });
  };
  refused("{", "JSON");
  refused(R"({"query": "a", "choices": ["b", "c"]})", "gold");
  refused(R"({"query": "a", "choices": ["b", "c"], "gold": 2})", "gold 2 is none of 2");
  refused(R"({"query": "a", "choices": ["b", "c"], "gold": -1})", "gold -1");
  refused(R"({"query": "a", "choices": ["b"], "gold": 0})", "1 choices");
  refused(R"({"query": "a", "choices": ["b", ""], "gold": 0})", "empty");
  refused(R"({"query": 5, "choices": ["b", "c"], "gold": 0})", "query");
  expect_error(ErrorCode::bad_input, {"none.jsonl", "no questions"},
               [&] { read_questions(folder.write("none.jsonl", "\n")); });
}

TEST(CutChoice, AsksForWhatIsBehindTheQuery) {
  const ByteTokenizer bytes;
  const auto plain = cut_choice(bytes, "Q:", "yes", 0, "t");
  EXPECT_EQ(std::string(plain.tokens.begin(), plain.tokens.end()), "Q: yes");
  EXPECT_EQ(plain.asked, 4);
  // White space at the end of the query belongs to what is asked for.
  EXPECT_EQ(cut_choice(bytes, "Q: \n", "yes", 0, "t").asked, 6);
  // One more token than the context: the last one is not an input.
  const auto cut = cut_choice(bytes, "0123456789", "yes", 7, "t");
  EXPECT_EQ(std::string(cut.tokens.begin(), cut.tokens.end()), "6789 yes");
  EXPECT_EQ(cut.asked, 4);
  expect_error(ErrorCode::bad_input, {"t", "4 tokens", "3"}, [&] { cut_choice(bytes, "Q", "yes", 3, "t"); });
  expect_error(ErrorCode::bad_input, {"t", "nothing stands before"}, [&] { cut_choice(bytes, " ", "yes", 9, "t"); });
}

TEST(Characters, AreCodePoints) {
  EXPECT_EQ(characters("abc"), 3);
  EXPECT_EQ(characters("\u00e4\u4e2d\U0001f600!"), 4);
}

}  // namespace
}  // namespace nearplane
