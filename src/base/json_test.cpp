#include "base/json.h"

#include <gtest/gtest.h>

#include <limits>

#include "base/check.h"
#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

TEST(Json, ParsesEveryKindAndKeepsTheOrderOfKeys) {
  const std::string text = R"({"z":[1,-2,2.5,[],{}],"a":{"t":true,"n":null,"s":"ü\n"},"m":""})";
  const auto value = parse_json(text, "here");
  EXPECT_EQ(value.dump(), text);
  EXPECT_EQ(value, Json::parse(text));
  EXPECT_EQ(parse_json("3", "here"), Json(3));
  EXPECT_EQ(parse_json("[[1],[2,[3]],4]", "here").dump(), "[[1],[2,[3]],4]");
}

TEST(Json, NamesPlaceAndByteOfAnError) {
  for (const auto* text : {"{\"a\": }", "[1,]", "{\"a\":1", "", "{} {}", "\"\xff\"", "[1e999]", "nul"})
    expect_error(ErrorCode::bad_input, {"file.json: not valid JSON at byte"}, [&] { parse_json(text, "file.json"); });
  expect_error(ErrorCode::bad_input, {"at byte 3: a zero byte"}, [] { parse_json(std::string_view("{}\0{", 4), "x"); });
  expect_error(ErrorCode::bad_input, {"at byte 7"}, [] { parse_json("{\"a\": }", "x"); });
}

TEST(Json, LimitsNestingTo256Levels) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse_json(nested(256), "x"));
  for (const std::size_t depth : {257, 1'000'000})
    expect_error(ErrorCode::bad_input, {"256 levels"}, [&] { parse_json(nested(depth), "x"); });
}

TEST(Json, RefusesDuplicateKeysOfOneObjectOnly) {
  expect_error(ErrorCode::bad_input, {"x: duplicate JSON key 'b'"}, [] { parse_json(R"({"b":1,"c":2,"b":3})", "x"); });
  expect_error(ErrorCode::bad_input, {"'k'"}, [] { parse_json(R"([{"a":{"k":1,"k":1}}])", "x"); });
  EXPECT_NO_THROW(parse_json(R"([{"b":{"b":1}},{"b":1}])", "x"));
}

TEST(Json, ReadsManyKeysInLinearTime) {
  // Searching the object for each key would take minutes here.
  constexpr int kKeys = 200'000;
  std::string text = "{";
  for (int i = 0; i < kKeys; ++i) text += fmt::format("{}\"token number {}\":{}", i ? "," : "", i, i);
  EXPECT_EQ(parse_json(text + "}", "x").size(), kKeys);
}

TEST(Json, GetsTypedValues) {
  const auto object = parse_json(
      R"({"b":true,"i":-7,"u":18446744073709551615,"d":0.5,"s":"t","l":[1,2],"ls":["a"],"ld":[1,2.5],"n":null})", "x");
  EXPECT_EQ(json_get<bool>(object, "b", "x"), true);
  EXPECT_EQ(json_get<int>(object, "i", "x"), -7);
  EXPECT_EQ(json_get<std::uint64_t>(object, "u", "x"), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(json_get<double>(object, "d", "x"), 0.5);
  EXPECT_EQ(json_get<double>(object, "i", "x"), -7.0);
  EXPECT_EQ(json_get<std::string>(object, "s", "x"), "t");
  EXPECT_EQ(json_get<std::vector<std::int64_t>>(object, "l", "x"), (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(json_get<std::vector<std::string>>(object, "ls", "x"), (std::vector<std::string>{"a"}));
  EXPECT_EQ(json_get<std::vector<double>>(object, "ld", "x"), (std::vector<double>{1, 2.5}));
  EXPECT_EQ(json_find<int>(object, "n", "x"), std::nullopt);
  EXPECT_EQ(json_find<int>(object, "absent", "x"), std::nullopt);
}

TEST(Json, RefusesMissingKeysAndOtherTypesByName) {
  const auto object = parse_json(
      R"({"n":null,"s":"t","d":2.0,"b":true,"i":1,"big":4294967296,"neg":-1,"far":1e300,"l":[1,"a"],"over":[1,1e19]})",
      "x");
  const auto refused = [&]<class T>(const char* key, const char* message, T) {
    expect_error(ErrorCode::bad_input, {"file: ", fmt::format("'{}'", key), message},
                 [&] { json_get<T>(object, key, "file"); });
  };
  refused("absent", "is missing", 0);
  refused("n", "is missing", 0);
  refused("s", "is not an integer in range", 0);
  refused("d", "is not an integer in range", 0);  // 2.0 is written as a real number
  refused("b", "is not an integer in range", 0);
  refused("big", "is not an integer in range", 0);
  refused("neg", "is not an integer in range", std::uint64_t{0});
  refused("i", "is not a boolean", false);
  refused("i", "is not a string", std::string());
  refused("s", "is not a number", 0.0);
  refused("far", "is not a number", 0.0f);
  refused("l", "is not a list", std::vector<std::int64_t>());
  refused("over", "is not a list", std::vector<std::int64_t>());
  expect_error(ErrorCode::bad_input, {"file", "'k'"}, [] { json_get<int>(Json::array(), "k", "file"); });
}

TEST(Json, ReadsFiles) {
  TemporaryFolder folder;
  EXPECT_EQ(read_json(folder.write("a.json", "{\"k\": 1}")), Json({{"k", 1}}));
  expect_error(ErrorCode::bad_input, {"bad.json"}, [&] { read_json(folder.write("bad.json", "{")); });
  expect_error(ErrorCode::io, {"none.json"}, [&] { read_json(folder.path() / "none.json"); });
}

}  // namespace
}  // namespace nearplane
