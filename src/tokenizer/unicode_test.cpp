#include "tokenizer/unicode.h"

#include <gtest/gtest.h>

#include "tokenizer/byte_level.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

const std::string kBad = "\xef\xbf\xbd";

TEST(Utf8, ReplacesMaximalInvalidParts) {
  EXPECT_EQ(replace_invalid_utf8(""), "");
  EXPECT_EQ(replace_invalid_utf8("aé格😀\0"), "aé格😀\0");
  EXPECT_EQ(replace_invalid_utf8("\x80"), kBad);
  EXPECT_EQ(replace_invalid_utf8("\xc0\xaf"), kBad + kBad);                        // overlong
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80"), kBad + kBad + kBad);             // surrogate
  EXPECT_EQ(replace_invalid_utf8("\xf0\x9f\x98x"), kBad + "x");                    // a start of three bytes is one part
  EXPECT_EQ(replace_invalid_utf8("\xf4\x90\x80\x80"), kBad + kBad + kBad + kBad);  // beyond U+10FFFF
  EXPECT_EQ(replace_invalid_utf8("a\xe2\x82"), "a" + kBad);
}

TEST(Utf8, FindsTheFirstInvalidPart) {
  const auto none = std::string_view::npos;
  EXPECT_EQ(find_invalid_utf8(""), none);
  EXPECT_EQ(find_invalid_utf8("a\u00e9\u683c\U0001f600"), none);
  EXPECT_EQ(find_invalid_utf8("\x80"), 0u);
  EXPECT_EQ(find_invalid_utf8("\u00e9x\xe2\x82"), 3u);
  EXPECT_EQ(find_invalid_utf8("\u00e9\xed\xa0\x80x"), 2u);
}

TEST(Utf8, EveryCodePointComesBack) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text;
    append_utf8(text, c);
    std::size_t at = 0;
    ASSERT_EQ(next_code_point(text, at), c);
    ASSERT_EQ(at, text.size());
    ASSERT_EQ(replace_invalid_utf8(text), text);
  }
}

TEST(ByteLevel, EveryByteComesBack) {
  std::string bytes;
  for (int b = 0; b < 256; ++b) bytes.push_back(static_cast<char>(b));
  const auto text = to_byte_level(bytes);
  EXPECT_EQ(replace_invalid_utf8(text), text);
  std::string out = "kept";
  EXPECT_TRUE(append_from_byte_level(text, out));
  EXPECT_EQ(out, "kept" + bytes);
  EXPECT_EQ(to_byte_level(" \n!é"), "ĠĊ!Ã©");
}

TEST(ByteLevel, OtherCharactersAreRefusedWhole) {
  for (const auto* text : {"Ġ a", "格", "\xc4", "aŅ", "\u00ad"}) {
    std::string out = "kept";
    EXPECT_FALSE(append_from_byte_level(text, out));
    EXPECT_EQ(out, "kept");
  }
}

TEST(Unicode, Normalizes) {
  EXPECT_EQ(normalize_text("e\u0301 \u212b \ufb01", NormalForm::nfc), "é \u00c5 \ufb01");
  EXPECT_EQ(normalize_text("é", NormalForm::nfd), "e\u0301");
  EXPECT_EQ(normalize_text("ﬁ\u00b2", NormalForm::nfkc), "fi2");
  EXPECT_EQ(normalize_text("\uac01", NormalForm::nfkd), "\u1100\u1161\u11a8");
  EXPECT_EQ(normalize_text("plain", NormalForm::nfkd), "plain");
  // The reference knows Unicode 9: this letter of Unicode 11 does not decompose there.
  EXPECT_EQ(normalize_text("\U00011935\U00011930", NormalForm::nfc), "\U00011935\U00011930");
}

TEST(Unicode, LowersAndStrips) {
  EXPECT_EQ(lower_text("ÀİΣẞ"), "ài\u0307σß");
  EXPECT_EQ(strip_marks("e\u0301é\u0903"), "eé");
}

TEST(Unicode, Properties) {
  for (const char32_t c : {U'0', U'9', U'½', U'²', U'Ⅷ', U'٣'}) EXPECT_TRUE(is_numeric(c));
  for (const char32_t c : {U'a', U' ', U'一'}) EXPECT_FALSE(is_numeric(c));
  for (const char32_t c : {U' ', U'\n', U'\u0085', U'\u3000'}) EXPECT_TRUE(is_white_space(c));
  for (const char32_t c : {U'x', U'\u200b', U'\u180e'}) EXPECT_FALSE(is_white_space(c));
}

TEST(Unicode, StandInsKeepTheLength) {
  std::string out;
  EXPECT_FALSE(with_stand_ins("plain é 格", out));
  EXPECT_TRUE(with_stand_ins("a\U00010d50b", out));
  EXPECT_EQ(out.size(), 6u);
  EXPECT_EQ(out.front(), 'a');
  EXPECT_EQ(out.back(), 'b');
}

}  // namespace
}  // namespace nearplane
