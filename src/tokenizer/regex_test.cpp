#include "tokenizer/regex.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "tokenizer/pattern.h"

namespace nearplane {
namespace {

std::vector<std::string> matches(const std::string& pattern, const std::string& text) {
  std::vector<Match> found;
  Regex(pattern, "t").find_all(text, found);
  std::vector<std::string> out;
  for (const auto& match : found) out.push_back(text.substr(match.begin, match.end - match.begin));
  return out;
}
using Strings = std::vector<std::string>;

TEST(Regex, FindsFromLeftToRight) {
  EXPECT_EQ(matches(R"(\p{L}+|\p{N}{1,3}|\s+(?!\S)|\s+)", "ab1234   é \n"),
            (Strings{"ab", "123", "4", "  ", " ", "é", " \n"}));
  EXPECT_EQ(matches("x", ""), Strings{});
}

TEST(Regex, EmptyMatchesMoveOnByCharacters) {
  EXPECT_EQ(matches("x*", "éx"), (Strings{"", "x"}));  // no second one right behind the x
}

// Where the two engines differ, Oniguruma's meaning counts.
TEST(Regex, MeansWhatOnigurumaMeans) {
  EXPECT_EQ(matches(R"(\h+)", "fF0 g"), (Strings{"fF0"}));
  EXPECT_EQ(matches(R"(\w+)", "a_1² é-b"), (Strings{"a_1²", "é", "b"}));
  EXPECT_EQ(matches(R"([\w]+)", "a²b"), (Strings{"a", "b"}));  // there \w in a class has no ²
  EXPECT_EQ(matches(R"(\v)", "\x0b\x0c\n"), (Strings{"\x0b"}));
  EXPECT_EQ(matches("^.", "a\nb"), (Strings{"a", "b"}));
  EXPECT_EQ(matches("(?i:'s)", "'\u017f"), (Strings{"'\u017f"}));  // the long s is an s
  EXPECT_EQ(matches(R"(\p{Han}+)", "\u3005\u3001x\u4e00"), (Strings{"\u3005", "\u4e00"}));
  EXPECT_EQ(matches(R"(\p{^L}+|\P{Nd})", "a1b"), (Strings{"a", "1", "b"}));
  EXPECT_EQ(matches(R"(\p{L})", "\U00010d50"), (Strings{"\U00010d50"}));  // newer than PCRE2's tables
  EXPECT_EQ(matches(R"(\s)", "\u180e"), Strings{});                       // a space to PCRE2 alone
}

TEST(Regex, RefusesWhatTheEnginesReadDifferently) {
  for (const auto* pattern :
       {R"([a-z&&[b]])",   "[[a]b]",       "[]a]",      "a{1,2}+",   "a{2}?",        "a{,3}",   "(?m:.)",
        "(?i)a",           "(?<n>a)",      R"(\bx)",    R"(\R)",     R"(\X)",        R"(a\Kb)", R"((a)\1)",
        R"(\p{Cyrillic})", R"(\p{Emoji})", R"(\p{Mn})", R"(\p{Yi})", R"(\pL)",       R"([\W])", R"(\xC3)",
        R"(\x4)",          "a\\",          "(",         "(?<=a+)b",  R"(\x{110000})"})
    expect_error(ErrorCode::unsupported, {"file", pattern}, [&] { Regex(pattern, "file"); });
}

TEST(Regex, GivesUpWithAnError) {
  expect_error(ErrorCode::bad_input, {"file", "text of 60"}, [] {
    std::vector<Match> out;
    Regex(R"((?:a|aa)+\d)", "file").find_all(std::string(60, 'a'), out);
  });
}

TEST(Pattern, ReplacesLiteralsAndExpressions) {
  const auto replaced = [](const char* pattern, const char* text) {
    return Pattern(parse_json(pattern, "t"), "t").replace_all(text, "_");
  };
  EXPECT_EQ(replaced(R"({"pattern": {"String": "aa"}})", "aaaba"), "_aba");
  EXPECT_EQ(replaced(R"({"pattern": {"String": "."}})", "a.b"), "a_b");
  EXPECT_EQ(replaced(R"({"pattern": {"Regex": "\\s+"}})", " a  b"), "_a_b");
  EXPECT_EQ(replaced(R"({"pattern": {"Regex": "x"}})", ""), "");
}

TEST(Pattern, RefusesOthers) {
  const auto make = [](const char* json) { Pattern(parse_json(json, "t"), "file"); };
  expect_error(ErrorCode::bad_input, {"file", "pattern"}, [&] { make("{}"); });
  expect_error(ErrorCode::bad_input, {"file", "pattern"}, [&] { make(R"({"pattern": "x"})"); });
  expect_error(ErrorCode::bad_input, {"file", "Regex"}, [&] { make(R"({"pattern": {"Glob": "x"}})"); });
  expect_error(ErrorCode::unsupported, {"file", "empty"}, [&] { make(R"({"pattern": {"String": ""}})"); });
}

}  // namespace
}  // namespace nearplane
