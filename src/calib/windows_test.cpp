#include "calib/windows.h"

#include <gtest/gtest.h>

#include <set>

#include "byte_tokenizer.h"
#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

struct Listener : Observer {
  void on_message(Severity, std::string_view text) override { messages.emplace_back(text); }
  std::vector<std::string> messages;
};

std::vector<std::string> texts_of(const std::vector<Window>& windows) {
  std::vector<std::string> out;
  for (const auto& w : windows) out.emplace_back(w.begin(), w.end());
  return out;
}

TEST(Windows, AreCutInSequenceAndDrawnWithTheSeed) {
  TemporaryFolder folder;
  Listener listener;
  CalibrationOptions options;
  options.files = {folder.write("a.txt", "abcdefghij"), folder.write("b.txt", "klmnopqr")};
  options.length = 4, options.samples = 5;
  const auto all = texts_of(calibration_windows(options, ByteTokenizer(), listener));
  EXPECT_EQ(all, (std::vector<std::string>{"abcd", "efgh", "ij\n\n", "klmn", "opqr"}));
  options.samples = 3;
  std::set<std::vector<std::string>> draws;
  for (options.seed = 0; options.seed < 20; ++options.seed) {
    const auto some = texts_of(calibration_windows(options, ByteTokenizer(), listener));
    EXPECT_EQ(some, texts_of(calibration_windows(options, ByteTokenizer(), listener)));
    ASSERT_EQ(some.size(), 3u);
    EXPECT_TRUE(std::is_sorted(some.begin(), some.end(), [&](const auto& x, const auto& y) {
      return std::find(all.begin(), all.end(), x) < std::find(all.begin(), all.end(), y);
    }));
    draws.insert(some);
  }
  EXPECT_GT(draws.size(), 5u);
  EXPECT_TRUE(listener.messages.empty());
}

TEST(Windows, WarnWhenTheTextIsShort) {
  TemporaryFolder folder;
  Listener listener;
  CalibrationOptions options;
  options.files = {folder.write("a.txt", "abcdefghij")};
  options.length = 4, options.samples = 9;
  EXPECT_EQ(calibration_windows(options, ByteTokenizer(), listener).size(), 2u);
  ASSERT_EQ(listener.messages.size(), 1u);
  EXPECT_NE(listener.messages[0].find("2 windows of 4 tokens instead of the 9"), std::string::npos);
}

TEST(Windows, RefuseTextShorterThanOneWindowAndEmptyText) {
  TemporaryFolder folder;
  Listener listener;
  CalibrationOptions options;
  options.length = 100;
  options.files = {folder.write("short.txt", "abc")};
  expect_error(ErrorCode::bad_input, {"short.txt", "3 tokens", "100"},
               [&] { calibration_windows(options, ByteTokenizer(), listener); });
  options.files = {folder.write("empty.txt", "")};
  expect_error(ErrorCode::bad_input, {"empty.txt", "no text"},
               [&] { calibration_windows(options, ByteTokenizer(), listener); });
  options.files = {folder.path() / "absent.txt"};
  expect_error(ErrorCode::io, {"absent.txt"}, [&] { calibration_windows(options, ByteTokenizer(), listener); });
}

TEST(Documents, ComeFromJsonLines) {
  TemporaryFolder folder;
  const auto path = folder.write("d.jsonl", "{\"text\": \"one\"}\n\n{\"text\": \"two\\n\", \"id\": 3}");
  EXPECT_EQ(read_documents(path), (std::vector<std::string>{"one", "two\n"}));
  expect_error(ErrorCode::bad_input, {"bad.jsonl, line 2", "text"},
               [&] { read_documents(folder.write("bad.jsonl", "{\"text\": \"x\"}\n{\"txt\": 1}\n")); });
  expect_error(ErrorCode::bad_input, {"broken.jsonl, line 1"},
               [&] { read_documents(folder.write("broken.jsonl", "{\"text\": ")); });
}

}  // namespace
}  // namespace nearplane
