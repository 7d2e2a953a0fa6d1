#include "runtime/text_stream.h"

#include <gtest/gtest.h>

#include "byte_tokenizer.h"

namespace nearplane {
namespace {

class TextStreamTest : public testing::Test {
 protected:
  ByteTokenizer tokenizer;
  std::vector<std::string> parts;
  OnText collect = [this](std::string_view part) {
    parts.emplace_back(part);
    return true;
  };

  // The text of single bytes as tokens, until the stream has enough.
  std::string run(std::string_view bytes, const std::vector<std::string>& stops, const OnText& on_text) {
    TextStream stream(tokenizer, {}, stops, on_text);
    for (const char c : bytes)
      if (stream.add(static_cast<unsigned char>(c)) != TextStream::State::open) break;
    stream.finish();
    return stream.text();
  }
};

TEST_F(TextStreamTest, HandsOnWholeCharacters) {
  EXPECT_EQ(run("a\u00e9\u20ac\U0001f600", {}, collect), "a\u00e9\u20ac\U0001f600");
  EXPECT_EQ(parts, (std::vector<std::string>{"a", "\u00e9", "\u20ac", "\U0001f600"}));
}

TEST_F(TextStreamTest, BytesThatAreNoCharacterAreReplacedAndAnUnfinishedOneLeftOut) {
  EXPECT_EQ(run("a\x80z\xff\xe2\x82", {}, collect), "a\ufffdz\ufffd");
  std::string all;
  for (const auto& part : parts) all += part;
  EXPECT_EQ(all, "a\ufffdz\ufffd");
}

TEST_F(TextStreamTest, NoPartOfAStopTextIsHandedOn) {
  EXPECT_EQ(run("one END two", {"END"}, collect), "one ");
  std::string all;
  for (const auto& part : parts) all += part;
  EXPECT_EQ(all, "one ");
  EXPECT_EQ(run("one EN", {"END"}, collect), "one EN");  // it did not come
  EXPECT_EQ(run("\u20ac\u20ac!", {"\u20ac!"}, collect), "\u20ac");
}

TEST_F(TextStreamTest, TheCallerEndsIt) {
  int calls = 0;
  EXPECT_EQ(run("abcdef", {}, [&](std::string_view) { return ++calls < 3; }), "abc");
  EXPECT_EQ(calls, 3);
}

// Tokenizers with a space before words drop the first one; what continues a text keeps it.
TEST_F(TextStreamTest, AContinuationKeepsItsSpace) {
  class Words : public ByteTokenizer {
   public:
    std::string decode(std::span<const Token> ids, bool) const override {
      std::string out;
      for (const Token id : ids) out += (out.empty() ? "w" : " w") + std::to_string(id);
      return out;
    }
  } words;
  const std::array before{Token{1}};
  TextStream continued(words, before, {}, collect), fresh(words, {}, {}, collect);
  for (const Token id : {2, 3}) continued.add(id), fresh.add(id);
  EXPECT_EQ(continued.text(), " w2 w3");
  EXPECT_EQ(fresh.text(), "w2 w3");
}

}  // namespace
}  // namespace nearplane
