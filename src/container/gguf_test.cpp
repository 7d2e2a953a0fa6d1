#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "container/tensor_file.h"
#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string text(const std::string& s) { return raw<std::uint64_t>(s.size()) + s; }
std::string pair(const std::string& key, std::uint32_t type, const std::string& value) {
  return text(key) + raw(type) + value;
}
std::string info(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                 std::uint64_t offset) {
  auto s = text(name) + raw(static_cast<std::uint32_t>(dims.size()));
  for (const auto d : dims) s += raw(d);
  return s + raw(type) + raw(offset);
}

struct Builder {
  std::uint32_t magic = 0x46554747, version = 3;
  std::vector<std::string> pairs, infos;
  std::size_t data = 0, alignment = 32;

  std::string build() const {
    auto s = raw(magic) + raw(version) + raw<std::uint64_t>(infos.size()) + raw<std::uint64_t>(pairs.size());
    for (const auto& p : pairs) s += p;
    for (const auto& i : infos) s += i;
    s.resize((s.size() + alignment - 1) / alignment * alignment);
    for (std::size_t i = 0; i < data; ++i) s += static_cast<char>(i);
    return s;
  }
};

class Gguf : public testing::Test {
 protected:
  TensorFile open(const Builder& builder) const { return open_gguf(folder.write("m.gguf", builder.build())); }
  void refused(const Builder& builder, std::initializer_list<std::string> parts,
               ErrorCode code = ErrorCode::bad_input) const {
    expect_error(code, {"m.gguf"}, [&] { open(builder); });
    expect_error(code, parts, [&] { open(builder); });
  }
  void refused_raw(const std::string& bytes, std::initializer_list<std::string> parts) const {
    expect_error(ErrorCode::bad_input, parts, [&] { open_gguf(folder.write("m.gguf", bytes)); });
  }
  TemporaryFolder folder;
};

Builder two_tensors() {
  Builder b;
  b.pairs = {pair("general.architecture", 8, text("llama"))};
  b.infos = {info("a.weight", {32, 3}, 2, 0), info("b.weight", {5}, 0, 64)};  // 54 bytes, padded to 64; then 20
  b.data = 84;
  return b;
}

TEST_F(Gguf, ReadsTensors) {
  for (const std::uint32_t version : {2u, 3u}) {
    auto builder = two_tensors();
    builder.version = version;
    const auto file = open(builder);
    ASSERT_EQ(file.tensors().size(), 2u);
    const auto& a = file.get("a.weight");
    EXPECT_EQ(a.dtype, DType::q4_0);
    EXPECT_EQ(a.shape, (std::vector<std::int64_t>{3, 32}));  // outermost first
    EXPECT_EQ(a.bytes.size(), 54u);
    EXPECT_EQ(a.bytes[1], std::byte{1});
    EXPECT_EQ(file.get("b.weight").bytes[0], std::byte{64});
    EXPECT_EQ(file.get("b.weight").where(), (folder.path() / "m.gguf").string() + ": tensor b.weight");
  }
}

TEST_F(Gguf, ReadsEveryKnownTensorType) {
  const std::vector<std::pair<std::uint32_t, DType>> types = {
      {0, DType::f32},     {1, DType::f16},     {2, DType::q4_0},  {3, DType::q4_1},  {8, DType::q8_0},
      {10, DType::q2_k},   {11, DType::q3_k},   {12, DType::q4_k}, {13, DType::q5_k}, {14, DType::q6_k},
      {20, DType::iq4_nl}, {23, DType::iq4_xs}, {24, DType::i8},   {25, DType::i16},  {26, DType::i32},
      {27, DType::i64},    {28, DType::f64},    {30, DType::bf16}};
  for (const auto& [id, type] : types) {
    Builder b;
    b.infos = {info("x", {256}, id, 0)};
    b.data = 2048;
    EXPECT_EQ(open(b).get("x").dtype, type);
    EXPECT_EQ(std::ssize(open(b).get("x").bytes), dtype_bytes(type, 256));
  }
}

TEST_F(Gguf, ReadsMetadataOfEveryType) {
  Builder b;
  const auto array = [](std::uint32_t type, std::uint64_t n, const std::string& items) {
    return raw(type) + raw(n) + items;
  };
  b.pairs = {pair("u8", 0, raw<std::uint8_t>(200)),
             pair("i8", 1, raw<std::int8_t>(-100)),
             pair("u16", 2, raw<std::uint16_t>(60000)),
             pair("i16", 3, raw<std::int16_t>(-30000)),
             pair("u32", 4, raw<std::uint32_t>(4000000000u)),
             pair("i32", 5, raw<std::int32_t>(-2000000000)),
             pair("f32", 6, raw(0.1f)),
             pair("bool", 7, raw<std::uint8_t>(1)),
             pair("string", 8, text("Ġé😀")),
             pair("u64", 10, raw<std::uint64_t>(~0ull)),
             pair("i64", 11, raw<std::int64_t>(INT64_MIN)),
             pair("f64", 12, raw(0.1)),
             pair("strings", 9, array(8, 2, text("a") + text(""))),
             pair("ints", 9, array(5, 2, raw<std::int32_t>(-1) + raw<std::int32_t>(7))),
             pair("floats", 9, array(6, 1, raw(0.5f))),
             pair("bools", 9, array(7, 2, std::string("\0\1", 2))),
             pair("none", 9, array(4, 0, ""))};
  const auto metadata = open(b).metadata();
  EXPECT_EQ(metadata["u8"], 200);
  EXPECT_EQ(metadata["i8"], -100);
  EXPECT_EQ(metadata["u16"], 60000);
  EXPECT_EQ(metadata["i16"], -30000);
  EXPECT_EQ(metadata["u32"], 4000000000u);
  EXPECT_EQ(metadata["i32"], -2000000000);
  EXPECT_EQ(metadata["f32"].get<float>(), 0.1f);
  EXPECT_EQ(metadata["bool"], true);
  EXPECT_EQ(metadata["string"], "Ġé😀");
  EXPECT_EQ(metadata["u64"], ~0ull);
  EXPECT_EQ(metadata["i64"], INT64_MIN);
  EXPECT_EQ(metadata["f64"], 0.1);
  EXPECT_EQ(metadata["strings"], Json({"a", ""}));
  EXPECT_EQ(metadata["ints"], Json({-1, 7}));
  EXPECT_EQ(metadata["floats"], Json::array({0.5}));
  EXPECT_EQ(metadata["bools"], Json({false, true}));
  EXPECT_EQ(metadata["none"], Json::array());
  EXPECT_EQ(metadata.size(), 17u);
}

TEST_F(Gguf, FollowsTheAlignmentKey) {
  Builder b;
  b.pairs = {pair("general.alignment", 4, raw<std::uint32_t>(8))};
  b.infos = {info("a", {3}, 24, 0), info("b", {1}, 24, 8)};
  b.data = 9, b.alignment = 8;
  EXPECT_EQ(open(b).get("b").bytes[0], std::byte{8});
  for (const std::uint32_t alignment : {0u, 1u, 4u, 24u, 1u << 21}) {
    b.pairs = {pair("general.alignment", 4, raw(alignment))};
    refused(b, {"general.alignment of " + std::to_string(alignment)});
  }
  b.pairs = {pair("general.alignment", 8, text("32"))};
  refused(b, {"general.alignment", "integer"});
}

TEST_F(Gguf, RefusesAnyTruncation) {
  const auto whole = two_tensors().build();
  for (std::size_t size = 0; size < whole.size(); ++size) refused_raw(whole.substr(0, size), {"m.gguf"});
  EXPECT_NO_THROW(open_gguf(folder.write("m.gguf", whole)));
  refused_raw(whole.substr(0, whole.size() - 1), {"tensor b.weight", "needs 20 bytes"});
}

TEST_F(Gguf, RefusesOtherFilesAndVersions) {
  Builder b;
  b.magic = 0x04034b50;
  refused(b, {"is not a GGUF file"});
  for (const std::uint32_t version : {0u, 1u, 4u, 0x03000000u}) {
    b = Builder();
    b.version = version;
    refused(b, {"GGUF version " + std::to_string(version)}, ErrorCode::unsupported);
  }
}

TEST_F(Gguf, RefusesAbsurdCounts) {
  const auto head = raw<std::uint32_t>(0x46554747) + raw<std::uint32_t>(3);
  const auto none = raw<std::uint64_t>(0);
  for (const std::uint64_t n : {std::uint64_t{3}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    refused_raw(head + raw(n) + none, {"tensor count counts " + std::to_string(n)});
    refused_raw(head + none + raw(n), {"metadata count counts " + std::to_string(n)});
    Builder b;
    b.pairs = {pair("list", 9, raw<std::uint32_t>(11) + raw(n))};
    refused(b, {"'list' counts " + std::to_string(n) + " entries"});
    b.pairs = {pair("name", 8, raw(n + 100))};
    refused(b, {"'name' needs"});
    b.pairs = {raw(n + 100) + "key"};
    refused(b, {"a metadata key needs"});
  }
}

TEST_F(Gguf, RefusesBadMetadata) {
  const auto bad = [&](const std::string& p, std::initializer_list<std::string> parts,
                       ErrorCode code = ErrorCode::bad_input) {
    Builder b;
    b.pairs = {p, p};
    b.data = 64;
    refused(b, parts, code);
  };
  bad(pair("k", 4, raw<std::uint32_t>(1)), {"'k' occurs twice"});
  bad(pair("k", 13, raw<std::uint32_t>(1)), {"'k' has unknown value type 13"});
  bad(pair("k", 7, raw<std::uint8_t>(2)), {"'k' is a boolean of value 2"});
  bad(pair("k", 9, raw<std::uint32_t>(99) + raw<std::uint64_t>(0)), {"'k'", "unknown value type 99"});
  bad(pair("k", 9, raw<std::uint32_t>(9) + raw<std::uint64_t>(1)), {"'k' is an array of arrays"},
      ErrorCode::unsupported);
}

TEST_F(Gguf, RefusesStringsThatAreNotUtf8) {
  for (const std::string s : {"\x80", "\xc3", "a\xc3(", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                              "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x82"}) {
    Builder b;
    b.pairs = {pair("tokens", 9, raw<std::uint32_t>(8) + raw<std::uint64_t>(2) + text("good") + text(s))};
    refused(b, {"'tokens' is not valid UTF-8"});
  }
  for (const std::string s : {"", "~", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                              "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    Builder b;
    b.pairs = {pair("token", 8, text(s))};
    EXPECT_EQ(open(b).metadata()["token"], s);
  }
}

TEST_F(Gguf, RefusesImpossibleTensors) {
  const auto bad = [&](const std::vector<std::string>& infos, std::initializer_list<std::string> parts,
                       ErrorCode code = ErrorCode::bad_input) {
    Builder b;
    b.infos = infos;
    b.data = 256;
    refused(b, parts, code);
  };
  bad({info("x", {256}, 16, 0)}, {"tensor x", "ggml type 16"}, ErrorCode::unsupported);
  bad({info("x", {256}, 4000000000u, 0)}, {"tensor x", "ggml type 4000000000"}, ErrorCode::unsupported);
  bad({info("x", {}, 0, 0)}, {"tensor x", "0 dimensions"});
  bad({info("x", {1, 1, 1, 1, 1}, 0, 0)}, {"tensor x", "5 dimensions"});
  bad({info("x", {1ull << 32, 1ull << 31}, 0, 0)}, {"tensor x", "overflows"});
  bad({info("x", {1ull << 63}, 0, 0)}, {"tensor x", "overflows"});
  bad({info("x", {1ull << 61}, 0, 0)}, {"tensor x", "2305843009213693952 elements", "overflow"});
  bad({info("x", {1ull << 40}, 0, 0)}, {"tensor x", "needs 4398046511104 bytes"});
  bad({info("x", {33}, 2, 0)}, {"tensor x", "rows of 33", "blocks of 32"});
  bad({info("x", {8}, 0, 1)}, {"tensor x", "starts at 1 of the data instead of 0"});
  bad({info("x", {8}, 0, 0), info("y", {8}, 0, 40)}, {"tensor y", "starts at 40", "instead of 32"});
  bad({info("x", {8}, 0, 0), info("y", {8}, 0, 0)}, {"tensor y", "starts at 0", "instead of 32"});
  bad({info("x", {8}, 0, 0), info("y", {8}, 0, 64)}, {"tensor y", "starts at 64", "instead of 32"});
  bad({info("x", {8}, 0, ~31ull)}, {"tensor x", "starts at"});
  bad({info("x", {8}, 0, 0), info("x", {8}, 0, 32)}, {"tensor x", "occurs twice"});
  bad({info("x", {8}, 0, 0), info("y", {57}, 0, 32)}, {"tensor y", "needs 228 bytes"});
}

}  // namespace
}  // namespace nearplane
