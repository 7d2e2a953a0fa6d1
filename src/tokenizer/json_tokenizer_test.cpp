// Known answers and refusals of every part of tokenizer.json, through the tokenizer that is made of it.
#include <gtest/gtest.h>

#include "expect_error.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {
namespace {

using Ids = std::vector<Token>;

// a, b, c, ab, abc and the space; merges ab, then abc.
Json base() {
  return parse_json(R"({"model": {"type": "BPE", "unk_token": "?",
      "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, " ": 5, "?": 6},
      "merges": ["a b", ["ab", "c"]]}})",
                    "t");
}
Json with(const std::string& pointer, const std::string& value) {
  auto json = base();
  json[Json::json_pointer(pointer)] = parse_json(value, "t");
  return json;
}
Ids encode(const Json& json, std::string_view text, bool special = false) {
  return tokenizer_from_json(json, "t")->encode(text, special);
}
void refused(const Json& json, std::initializer_list<std::string> parts, ErrorCode code) {
  expect_error(code, {"file.json"}, [&] { tokenizer_from_json(json, "file.json"); });
  expect_error(code, parts, [&] { tokenizer_from_json(json, "file.json"); });
}

TEST(Bpe, Merges) {
  EXPECT_EQ(encode(base(), "abcab ba"), (Ids{4, 3, 5, 1, 0}));
  EXPECT_EQ(encode(base(), ""), Ids{});
  EXPECT_EQ(encode(base(),
                   "a\xff"
                   "b"),
            (Ids{0, 6, 1}));  // invalid UTF-8 is U+FFFD, one unknown character
}

TEST(Bpe, UnknownCharacters) {
  EXPECT_EQ(encode(base(), "axyb"), (Ids{0, 6, 6, 1}));
  EXPECT_EQ(encode(with("/model/fuse_unk", "true"), "axyb"), (Ids{0, 6, 1}));
  EXPECT_EQ(encode(with("/model/unk_token", "null"), "axyb"), (Ids{3}));  // dropped, and neighbours meet
  const auto tokenizer = tokenizer_from_json(with("/model/unk_token", "\"none\""), "file.json");
  expect_error(ErrorCode::bad_input, {"file.json", "'x'"}, [&] { tokenizer->encode("x", false); });
}

TEST(Bpe, ByteFallbackNeedsEveryByte) {
  auto json = with("/model/byte_fallback", "true");
  json["model"]["vocab"]["<0xC3>"] = 7u;
  EXPECT_EQ(encode(json, "é"), Ids{6});
  json["model"]["vocab"]["<0xA9>"] = 8u;
  EXPECT_EQ(encode(json, "é"), (Ids{7, 8}));
}

TEST(Bpe, IgnoreMergesTakesWholePieces) {
  auto json = with("/model/vocab/ba", "7");
  EXPECT_EQ(encode(json, "ba"), (Ids{1, 0}));
  json["model"]["ignore_merges"] = true;
  EXPECT_EQ(encode(json, "ba"), Ids{7});
}

// A piece of more than 256 bytes is cut where no merge can reach across.
TEST(Bpe, LongPiecesAreCutWhereItDoesNotShow) {
  std::string text;
  Ids expected;
  for (int i = 0; i < 500; ++i) text += i % 3 == 0 ? "abc" : "c b";
  for (int i = 0; i < 500; ++i) {
    const Ids part = i % 3 == 0 ? Ids{4} : Ids{2, 5, 1};
    expected.insert(expected.end(), part.begin(), part.end());
  }
  EXPECT_EQ(encode(base(), text), expected);
}

TEST(Bpe, RefusesBadModels) {
  const auto bad = ErrorCode::bad_input, unsupported = ErrorCode::unsupported;
  refused(parse_json("[]", "t"), {"object"}, bad);
  refused(parse_json("{}", "t"), {"model"}, bad);
  refused(with("/model/type", "\"Unigram\""), {"Unigram"}, unsupported);
  refused(with("/model/dropout", "0.1"), {"dropout"}, unsupported);
  refused(with("/model/end_of_word_suffix", "\"</w>\""), {"end_of_word_suffix"}, unsupported);
  refused(with("/model/vocab", "[]"), {"vocab"}, bad);
  refused(with("/model/vocab/x", "8"), {"'x'", "8"}, bad);  // beyond the vocabulary
  refused(with("/model/vocab/x", "-1"), {"'x'", "-1"}, bad);
  refused(with("/model/vocab/x", "1.5"), {"'x'", "1.5"}, bad);
  refused(with("/model/vocab/x", "3"), {"'x'", "'ab'", "3"}, bad);
  refused(with("/model/merges", "{}"), {"merges"}, bad);
  refused(with("/model/merges", R"(["ab"])"), {"merge 0", "ab"}, bad);
  refused(with("/model/merges", R"(["a b c"])"), {"merge 0"}, bad);
  refused(with("/model/merges", R"([["a", 1]])"), {"merge 0"}, bad);
  refused(with("/model/merges", R"(["a b", "x b"])"), {"merge 1", "'x'"}, bad);
  refused(with("/model/merges", R"(["b c"])"), {"'bc'"}, bad);  // the result is no token
}

TEST(AddedTokens, StandBeforeEverything) {
  const auto json = with("/added_tokens", R"([{"id": 7, "content": "<x>", "special": true},
      {"id": 8, "content": "<xy>", "lstrip": true}, {"id": 9, "content": "b", "single_word": true}])");
  // "b" gets the id it has in the vocabulary, not 9
  refused(json, {"'b'", "9", "1"}, ErrorCode::bad_input);
  auto good = json;
  good["added_tokens"][2]["id"] = 1;
  EXPECT_EQ(encode(good, "a<x>b<x>ab"), (Ids{0, 7, 1, 7, 3}));
  const auto tokenizer = tokenizer_from_json(good, "t");
  EXPECT_EQ(tokenizer->encode("a  <xy>", false), (Ids{0, 8}));
  EXPECT_EQ(tokenizer->find("<x>"), 7);
  EXPECT_EQ(tokenizer->find("ab"), 3);
  EXPECT_EQ(tokenizer->vocab_size(), 9);
  EXPECT_EQ(tokenizer->decode(Ids{0, 7, 8}, true), "a <xy>");  // without a decoder, a space between tokens
  EXPECT_EQ(tokenizer->decode(Ids{0, 7, 8}, false), "a <x> <xy>");
}

TEST(AddedTokens, LongestFirst) {
  const auto json = with("/added_tokens", R"([{"id": 7, "content": "<x"}, {"id": 8, "content": "<x>"}])");
  EXPECT_EQ(encode(json, "<x><xa"), (Ids{8, 7, 0}));
}

TEST(AddedTokens, RefusesBadLists) {
  refused(with("/added_tokens", "{}"), {"added_tokens"}, ErrorCode::bad_input);
  refused(with("/added_tokens", R"([{"id": 9, "content": "<x>"}])"), {"<x>", "9", "7"}, ErrorCode::bad_input);
  refused(with("/added_tokens", R"([{"content": "<x>"}])"), {"id"}, ErrorCode::bad_input);
  refused(with("/added_tokens", R"([{"id": 0, "content": "a"}, {"id": 0, "content": "a"}])"), {"twice"},
          ErrorCode::bad_input);
}

TEST(PostProcessor, FramesTheText) {
  const auto json = with("/post_processor", R"({"type": "Sequence", "processors": [
      {"type": "ByteLevel"}, {"type": "TemplateProcessing",
       "single": [{"SpecialToken": {"id": "B", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
       "special_tokens": {"B": {"id": "B", "ids": [2], "tokens": ["c"]}}}]})");
  EXPECT_EQ(encode(json, "ab", true), (Ids{2, 3}));
  EXPECT_EQ(encode(json, "ab", false), (Ids{3}));
  auto beyond = json;
  beyond["post_processor"]["processors"][1]["special_tokens"]["B"]["ids"] = {7};
  refused(beyond, {"post_processor", "7"}, ErrorCode::bad_input);
  beyond["post_processor"]["processors"][1]["special_tokens"].erase("B");
  refused(beyond, {"'B'", "special_tokens"}, ErrorCode::bad_input);
}

// What each pre-tokenizer makes of a text shows in the ids: no merge reaches across pieces.
TEST(PreTokenizer, CutsTheText) {
  const auto cut = [](const char* pre, const char* text) { return encode(with("/pre_tokenizer", pre), text); };
  const std::string split = R"({"type": "Split", "pattern": {"String": "b"}, "invert": false, "behavior": ")";
  EXPECT_EQ(cut((split + "Isolated\"}").c_str(), "abc"), (Ids{0, 1, 2}));
  EXPECT_EQ(cut((split + "Removed\"}").c_str(), "abc"), (Ids{0, 2}));
  EXPECT_EQ(cut((split + "MergedWithPrevious\"}").c_str(), "abc"), (Ids{3, 2}));
  EXPECT_EQ(cut((split + "MergedWithNext\"}").c_str(), "abc"), (Ids{0, 1, 2}));
  EXPECT_EQ(cut((split + "Contiguous\"}").c_str(), "abbc"), (Ids{0, 1, 1, 2}));
  EXPECT_EQ(cut(R"({"type": "WhitespaceSplit"})", " ab c"), (Ids{3, 2}));
  EXPECT_EQ(cut(R"({"type": "Whitespace"})", "ab c"), (Ids{3, 2}));
  EXPECT_EQ(cut(R"({"type": "Sequence", "pretokenizers": []})", "abc"), (Ids{4}));
  EXPECT_EQ(cut(R"({"type": "Metaspace", "replacement": " ", "prepend_scheme": "first"})", "ab"), (Ids{5, 3}));
}

TEST(Normalizer, ChangesTheText) {
  const auto ids = [](const char* normalizer, const char* text) {
    return encode(with("/normalizer", normalizer), text);
  };
  EXPECT_EQ(ids(R"({"type": "Lowercase"})", "ABC"), (Ids{4}));
  EXPECT_EQ(ids(R"({"type": "Prepend", "prepend": "a"})", "bc"), (Ids{4}));
  EXPECT_EQ(ids(R"({"type": "Prepend", "prepend": "a"})", ""), Ids{});
  EXPECT_EQ(ids(R"({"type": "Strip", "strip_left": true, "strip_right": false})", "  ab "), (Ids{3, 5}));
  EXPECT_EQ(ids(R"({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]})", "áb"), (Ids{3}));
}

TEST(Decoder, PutsTheTextTogether) {
  const auto text = [](const char* decoder) {
    return tokenizer_from_json(with("/decoder", decoder), "t")->decode(Ids{0, 5, 3}, false);
  };
  EXPECT_EQ(text(R"({"type": "Fuse"})"), "a ab");
  EXPECT_EQ(text(R"({"type": "Replace", "pattern": {"String": "a"}, "content": "-"})"), "- -b");
  EXPECT_EQ(text(R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
                     {"type": "Strip", "content": "a", "start": 1, "stop": 0}]})"),
            " ab");
  EXPECT_EQ(text(R"({"type": "Metaspace", "replacement": "a"})"), "  b");
}

TEST(Decoder, BytesStayBytes) {
  auto json = with("/decoder", R"({"type": "ByteFallback"})");
  json["model"]["vocab"]["<0xC3>"] = 7u;
  json["model"]["vocab"]["<0xa9>"] = 8u;
  EXPECT_EQ(tokenizer_from_json(json, "t")->decode(Ids{0, 7}, false), "a\xc3");
  EXPECT_EQ(tokenizer_from_json(json, "t")->decode(Ids{7, 8}, false), "é");
}

TEST(JsonTokenizer, NamesTheUnsupportedPart) {
  for (const auto* part : {"normalizer", "pre_tokenizer", "post_processor", "decoder"})
    refused(with(std::string("/") + part, R"({"type": "Precompiled"})"), {part, "Precompiled"}, ErrorCode::unsupported);
  refused(with("/pre_tokenizer", R"({"type": "Split", "pattern": {"Regex": "[a&&b]"}, "behavior": "Isolated"})"),
          {"pre_tokenizer", "[a&&b]"}, ErrorCode::unsupported);
  refused(with("/pre_tokenizer", R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Sideways"})"),
          {"pre_tokenizer", "Sideways"}, ErrorCode::unsupported);
  auto first = with("/pre_tokenizer", R"({"type": "Metaspace", "replacement": " ", "prepend_scheme": "first"})");
  first["normalizer"] = {{"type", "StripAccents"}};
  refused(first, {"first", "normalizer"}, ErrorCode::unsupported);
}

}  // namespace
}  // namespace nearplane
