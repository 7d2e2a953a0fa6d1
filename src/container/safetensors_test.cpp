#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/atomic_file.h"
#include "container/tensor_file.h"
#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

std::string little(std::uint64_t n) { return {reinterpret_cast<const char*>(&n), 8}; }

/// The bytes of a file with this header and so many data bytes 0, 1, 2, ...
std::string file_of(const std::string& header, int data) {
  auto text = little(header.size()) + header;
  for (int i = 0; i < data; ++i) text += static_cast<char>(i);
  return text;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

class Safetensors : public testing::Test {
 protected:
  TensorFile open(const std::string& header, int data) const {
    return open_safetensors(folder.write("m.safetensors", file_of(header, data)));
  }
  void refused(const std::string& header, int data, std::initializer_list<std::string> parts,
               ErrorCode code = ErrorCode::bad_input) const {
    SCOPED_TRACE(header);
    expect_error(code, {"m.safetensors"}, [&] { open(header, data); });
    expect_error(code, parts, [&] { open(header, data); });
  }
  TemporaryFolder folder;
};

TEST_F(Safetensors, ReadsNamesTypesShapesBytesAndMetadata) {
  const auto file = open(R"({"__metadata__":{"format":"pt"},)" + entry("b", "F16", "[2,3]", "[4,16]") + "," +
                             entry("a", "F32", "[]", "[0,4]") + "," + entry("none", "BF16", "[0,7]", "[16,16]") + "}  ",
                         16);
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.tensors()[0].name, "a");  // in the order of the data
  const auto& b = file.get("b");
  EXPECT_EQ(b.dtype, DType::f16);
  EXPECT_EQ(b.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(b.elements(), 6);
  EXPECT_EQ(b.bytes.size(), 12u);
  EXPECT_EQ(b.bytes[0], std::byte{4});
  EXPECT_TRUE(file.get("a").shape.empty());
  EXPECT_EQ(file.get("a").elements(), 1);
  EXPECT_EQ(file.get("none").elements(), 0);
  EXPECT_EQ(file.metadata(), Json({{"format", "pt"}}));
  EXPECT_EQ(file.find("c"), nullptr);
  expect_error(ErrorCode::bad_input, {"m.safetensors", "'c' is missing"}, [&] { file.get("c"); });
}

TEST_F(Safetensors, ReadsUnalignedData) {
  const auto header = "{" + entry("x", "F64", "[1]", "[0,8]") + "}";
  const auto file = open(header + std::string(header.size() % 2 ? 0 : 1, ' '), 8);  // data starts at an odd offset
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file.get("x").bytes.data()) % 2, 1u);
  EXPECT_EQ(file.get("x").bytes[7], std::byte{7});
}

TEST_F(Safetensors, ReadsAFileWithoutTensors) { EXPECT_TRUE(open("{}", 0).tensors().empty()); }

TEST_F(Safetensors, RefusesBrokenHeads) {
  const auto raw = [&](const std::string& text) { return open_safetensors(folder.write("m.safetensors", text)); };
  expect_error(ErrorCode::bad_input, {"m.safetensors", "0 bytes are too few"}, [&] { raw(""); });
  expect_error(ErrorCode::bad_input, {"7 bytes are too few"}, [&] { raw("1234567"); });
  expect_error(ErrorCode::bad_input, {"header of 9 bytes in a file of 10"}, [&] { raw(little(9) + "{}"); });
  expect_error(ErrorCode::bad_input, {"header of 18446744073709551615 bytes", "limit of 100000000"},
               [&] { raw(little(~0ull) + "{}"); });
  expect_error(ErrorCode::bad_input, {"header of 100000001 bytes", "limit"}, [&] { raw(little(100'000'001) + "{}"); });
  refused("", 0, {"not valid JSON at byte"});
  refused("{\"a\":", 0, {"header", "not valid JSON"});
  refused("[]", 0, {"not a JSON object"});
  refused("{\"\xff\":1}", 0, {"not valid JSON"});
  refused(R"({"__metadata__":[]})", 0, {"__metadata__ is not"});
  refused(R"({"__metadata__":{"a":1}})", 0, {"__metadata__ 'a' is not a string"});
}

TEST_F(Safetensors, RefusesATruncatedFile) {
  const auto text = file_of("{" + entry("x", "F32", "[4]", "[0,16]") + "}", 16);
  for (std::size_t size = 0; size < text.size(); ++size) {
    const auto path = folder.write("m.safetensors", text.substr(0, size));
    expect_error(ErrorCode::bad_input, {"m.safetensors"}, [&] { open_safetensors(path); });
  }
  EXPECT_NO_THROW(open_safetensors(folder.write("m.safetensors", text)));
}

TEST_F(Safetensors, RefusesOffsetsThatDoNotTileTheData) {
  const auto two = [](const std::string& a, const std::string& b) {
    return "{" + entry("a", "U8", "[4]", a) + "," + entry("b", "U8", "[4]", b) + "}";
  };
  EXPECT_NO_THROW(open(two("[4,8]", "[0,4]"), 8));
  refused(two("[0,4]", "[3,7]"), 7, {"tensor b", "overlaps"});
  refused(two("[0,4]", "[0,4]"), 4, {"overlaps"});
  refused(two("[0,4]", "[6,10]"), 10, {"tensor b", "2 unused bytes before"});
  refused(two("[0,4]", "[4,8]"), 11, {"3 bytes after the last tensor"});
  refused(two("[0,4]", "[4,9]"), 9, {"tensor b", "holds 5 bytes", "needs 4"});
  refused(two("[0,4]", "[4,8]"), 7, {"tensor b", "[4, 8]", "outside the 7 bytes"});
  refused(two("[0,4]", "[8,4]"), 8, {"tensor b", "[8, 4]"});
  refused(two("[0,4]", "[-4,0]"), 8, {"tensor b", "[-4, 0]"});
  refused(two("[0,4]", "[4]"), 8, {"tensor b", "1 entries"});
  refused(two("[0,4]", "[4,18446744073709551615]"), 8, {"tensor b", "data_offsets"});
}

TEST_F(Safetensors, RefusesImpossibleEntries) {
  const auto one = [](const std::string& dtype, const std::string& shape) {
    return "{" + entry("x", dtype, shape, "[0,4]") + "}";
  };
  refused(one("F32", "[4611686018427387904,4]"), 4, {"tensor x", "overflows"});
  refused(one("U8", "[4294967296,4294967296]"), 4, {"tensor x", "4294967296 overflows"});
  refused(one("F32", "[-1]"), 4, {"tensor x", "negative extent -1"});
  refused(one("F32", "[1.0]"), 4, {"tensor x", "'shape'"});
  refused(one("F32", "1"), 4, {"tensor x", "'shape'"});
  refused(one("F32", "[2]"), 4, {"tensor x", "holds 4 bytes", "needs 8"});
  refused(one("F8_E4M3", "[4]"), 4, {"tensor x", "F8_E4M3 is not known"}, ErrorCode::unsupported);
  refused(one("Q4_0", "[32]"), 4, {"tensor x", "Q4_0 is not known"}, ErrorCode::unsupported);
  refused(R"({"x":3})", 4, {"tensor x"});
  refused(R"({"x":{"dtype":"F32","shape":[1]}})", 4, {"tensor x", "'data_offsets' is missing"});
  refused("{" + entry("x", "U8", "[4]", "[0,4]") + "," + entry("x", "U8", "[4]", "[4,8]") + "}", 8,
          {"duplicate JSON key 'x'"});
}

class Shards : public Safetensors {
 protected:
  void shard(const std::string& file, const std::string& tensor) const {
    folder.write(file, file_of("{" + entry(tensor, "U8", "[4]", "[0,4]") + "}", 4));
  }
  void index(const std::string& map) const { folder.write("model.safetensors.index.json", map); }
};

TEST_F(Shards, ReadsAllOfThem) {
  shard("s2.safetensors", "a"), shard("s1.safetensors", "b");
  index(R"({"metadata":{"total_size":8},"weight_map":{"a":"s2.safetensors","b":"s1.safetensors"}})");
  const auto file = open_safetensors(folder.path());
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].name, "b");  // shards in the order of their names
  EXPECT_EQ(file.get("a").file, (folder.path() / "s2.safetensors").string());
  file.release(file.get("a"));
  EXPECT_EQ(file.get("a").bytes[3], std::byte{3});
}

TEST_F(Shards, PrefersTheSingleFile) {
  shard("model.safetensors", "only"), index("broken");
  EXPECT_NO_THROW(open_safetensors(folder.path()).get("only"));
}

TEST_F(Shards, RefusesWhatTheIndexGetsWrong) {
  shard("s1.safetensors", "a"), shard("s2.safetensors", "b"), shard("s3.safetensors", "a");
  const auto bad = [&](const std::string& map, std::initializer_list<std::string> parts,
                       ErrorCode code = ErrorCode::bad_input) {
    SCOPED_TRACE(map);
    index(map);
    expect_error(code, parts, [&] { open_safetensors(folder.path()); });
  };
  bad(R"({"weight_map":{"a":"none.safetensors"}})", {"none.safetensors", "No such file"}, ErrorCode::io);
  bad(R"({"weight_map":{"a":"s1.safetensors","c":"s2.safetensors"}})", {"index.json", "tensor c in s2.safetensors"});
  bad(R"({"weight_map":{"a":"s2.safetensors","b":"s1.safetensors"}})", {"index.json", "does not hold it"});
  bad(R"({"weight_map":{"a":"s1.safetensors","b":"s3.safetensors"}})", {"s3.safetensors", "another shard"});
  bad(R"({"weight_map":{"a":"../s1.safetensors"}})", {"tensor a", "plain file name"});
  bad(R"({"weight_map":{"a":".."}})", {"not a regular file"}, ErrorCode::io);
  bad(R"({"weight_map":{"a":1}})", {"tensor a", "not a file name"});
  bad(R"({"weight_map":[]})", {"'weight_map'"});
  bad("[]", {"'weight_map'"});
}

TEST_F(Shards, RefusesAFolderWithoutModel) {
  expect_error(ErrorCode::bad_input, {folder.path().string(), "holds neither"},
               [&] { open_safetensors(folder.path()); });
  expect_error(ErrorCode::io, {"none"}, [&] { open_safetensors(folder.path() / "none"); });
}

TEST_F(Safetensors, WritesWhatItReads) {
  const std::vector<float> a = {1.5f, -2.0f, 3.0f};
  const std::vector<std::uint8_t> b = {1, 2, 3, 4, 5};
  const auto path = folder.path() / "w.safetensors";
  const std::vector<TensorToWrite> tensors = {{"z", DType::u8, {5}, std::as_bytes(std::span(b))},
                                              {"a", DType::f32, {3, 1}, std::as_bytes(std::span(a))},
                                              {"none", DType::f16, {0}, {}}};
  write_safetensors(path, tensors, {{"format", "pt"}});
  const auto file = open_safetensors(path);
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.metadata(), Json({{"format", "pt"}}));
  for (const auto& t : tensors) {
    const auto& read = file.get(t.name);
    EXPECT_EQ(read.dtype, t.dtype);
    EXPECT_EQ(read.shape, t.shape);
    EXPECT_TRUE(std::equal(read.bytes.begin(), read.bytes.end(), t.bytes.begin(), t.bytes.end()));
  }
  std::uint64_t length = 0;
  const auto text = read_file(path);
  std::memcpy(&length, text.data(), 8);
  EXPECT_EQ((8 + length) % 64, 0u);
  EXPECT_EQ(text[8 + length], 1);  // data in the given order
}

TEST_F(Safetensors, WritesNothingThatCouldNotBeRead) {
  const std::vector<std::byte> bytes(36);
  const auto write = [&](const std::vector<TensorToWrite>& tensors) {
    write_safetensors(folder.path() / "w.safetensors", tensors, {});
  };
  expect_error(ErrorCode::bad_input, {"w.safetensors", "tensor q", "Q4_0"}, [&] {
    write({{"q", DType::q4_0, {64}, bytes}});
  });
  expect_error(ErrorCode::bad_input, {"tensor x", "36 bytes given", "need 40"}, [&] {
    write({{"x", DType::f32, {10}, bytes}});
  });
  expect_error(ErrorCode::bad_input, {"tensor x", "twice"}, [&] {
    write({{"x", DType::f32, {9}, bytes}, {"x", DType::f32, {9}, bytes}});
  });
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "w.safetensors"));
}

}  // namespace
}  // namespace nearplane
