#include "qtensor/store.h"

#include <gtest/gtest.h>

#include "base/atomic_file.h"
#include "base/hash.h"
#include "expect_error.h"
#include "qtensor/store_layer.h"
#include "random_blocks.h"
#include "random_coded.h"
#include "random_outlier.h"
#include "random_quantized.h"
#include "random_rotated.h"
#include "random_sparse.h"
#include "random_split.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

namespace fs = std::filesystem;

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<std::byte>(i * 7);
    fs::create_directory(path);
  }
  void write_to(StoreWriter& writer) const {
    writer.write_part("block-00000", {{"block.0.q", &a}, {"block.0.k", &b}}, {});
    writer.write_part("rest", {},
                      {{"embedding.weight", DType::q4_1, {2, 64}, blocks}, {"norm.weight", DType::f32, {20}, blocks}});
    writer.write_text("record.json", "{}");
  }
  void write() const {
    StoreWriter writer(path);
    write_to(writer);
    writer.finish({{"model", "m"}, {"bits_per_weight", 3.5}});
  }
  std::string part() const { return read_file(path / "block-00000.safetensors"); }
  void put_part(const std::string& bytes) const { write_file(path / "block-00000.safetensors", bytes); }
  /// Replaces `from` in nearplane.json.
  void edit_manifest(const std::string& from, const std::string& to) const {
    auto text = read_file(path / "nearplane.json");
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    write_file(path / "nearplane.json", text.replace(at, from.size(), to));
  }
  void refused(std::initializer_list<std::string> parts, ErrorCode code = ErrorCode::bad_input) const {
    expect_error(code, parts, [&] { Store::open(path); });
  }

  /// Writes and reads back layers that are not in integer codes. Returns their part.
  TensorFile comes_back() const {
    write();
    const auto store = Store::open(path);
    store.verify();
    for (const auto& [name, written] : {std::pair{"block.0.q", &a}, {"block.0.k", &b}}) {
      EXPECT_EQ(store.layout(name).rows(), written->rows());
      EXPECT_EQ(store.layout(name).integer(), nullptr);
      const auto read = store.quantized(name);
      EXPECT_EQ(read.stored_bytes(), written->stored_bytes());
      EXPECT_EQ(store.stored_bytes(name), written->stored_bytes());
      const auto x = read.decode(), y = written->decode();
      EXPECT_TRUE(std::equal(x.data(), x.data() + x.size(), y.data())) << name;
    }
    return open_safetensors(path / "block-00000.safetensors");
  }
  void finds_any_flipped_bit_and_any_truncation() const {
    write();
    const auto good = part();
    for (std::size_t i = 0; i < good.size(); i += 7) {
      auto bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
      put_part(bad);
      EXPECT_THROW(Store::open(path).verify(), Error) << i;
      if (i % 10 != 0) continue;
      put_part(good.substr(0, i));
      EXPECT_THROW(Store::open(path).verify(), Error) << i;
    }
  }

  TemporaryFolder folder;
  fs::path path = folder.path() / "store";
  QuantizedTensor a = random_quantized(6, 100, 3, 32, false, 1), b = random_quantized(4, 64, 4, 64, true, 2);
  std::vector<std::byte> blocks = std::vector<std::byte>(80);  // four Q4_1 blocks, or 20 numbers
};

void expect_equal(const IntegerTensor& x, const IntegerTensor& y) {
  EXPECT_EQ(x.rows, y.rows);
  EXPECT_EQ(x.cols, y.cols);
  EXPECT_EQ(x.bits, y.bits);
  EXPECT_EQ(x.group, y.group);
  EXPECT_EQ(x.symmetric, y.symmetric);
  EXPECT_EQ(x.codes, y.codes);
  EXPECT_EQ(x.scales, y.scales);
  EXPECT_EQ(x.zeros, y.zeros);
}

TEST_F(StoreTest, GivesBackWhatWasWritten) {
  EXPECT_FALSE(Store::is_store(path));
  write();
  EXPECT_TRUE(Store::is_store(path));
  const auto store = Store::open(path);
  store.verify();
  EXPECT_EQ(store.path(), path);
  EXPECT_EQ(store.manifest()["model"], "m");
  EXPECT_EQ(store.manifest()["format"], "nearplane-store");
  EXPECT_EQ(store.manifest()["version"], 1);
  EXPECT_EQ(store.quantized_names(), (std::vector<std::string>{"block.0.q", "block.0.k"}));
  EXPECT_EQ(store.kept_names(), (std::vector<std::string>{"embedding.weight", "norm.weight"}));
  expect_equal(*store.quantized("block.0.q").integer(), *a.integer());
  EXPECT_EQ(store.layout("block.0.q").integer()->bits, 3);
  EXPECT_EQ(store.layout("block.0.q").integer()->groups(), 4);
  EXPECT_TRUE(store.layout("block.0.q").integer()->codes.empty());
  expect_equal(*store.quantized("block.0.k").integer(), *b.integer());
  const auto& kept = store.kept("embedding.weight");
  EXPECT_EQ(kept.dtype, DType::q4_1);
  EXPECT_EQ(kept.shape, (std::vector<std::int64_t>{2, 64}));
  EXPECT_TRUE(std::equal(kept.bytes.begin(), kept.bytes.end(), blocks.begin(), blocks.end()));
  EXPECT_EQ(store.kept("norm.weight").dtype, DType::f32);
  EXPECT_EQ(read_file(path / "record.json"), "{}");
  expect_error(ErrorCode::bad_input, {"store", "'x' is missing"}, [&] { store.quantized("x"); });
  expect_error(ErrorCode::bad_input, {"store", "'x' is missing"}, [&] { store.kept("x"); });
}

// Other programs may rely on it: the parts are plain safetensors files as docs/formats/store.md describes them.
TEST_F(StoreTest, HasTheDocumentedLayout) {
  write();
  const auto part = open_safetensors(path / "block-00000.safetensors");
  EXPECT_EQ(part.get("block.0.q.codes").shape, (std::vector<std::int64_t>{6, 38}));
  EXPECT_EQ(part.get("block.0.q.scales").dtype, DType::f16);
  EXPECT_EQ(part.get("block.0.q.scales").shape, (std::vector<std::int64_t>{6, 4}));
  EXPECT_EQ(part.get("block.0.q.zeros").shape, (std::vector<std::int64_t>{6, 2}));
  EXPECT_EQ(part.find("block.0.k.zeros"), nullptr);
  const auto rest = open_safetensors(path / "rest.safetensors");
  EXPECT_EQ(rest.get("embedding.weight").dtype, DType::u8);
  EXPECT_EQ(rest.get("embedding.weight").shape, (std::vector<std::int64_t>{80}));
  const auto manifest = read_json(path / "nearplane.json");
  EXPECT_EQ(manifest["parts"][0]["file"], "block-00000.safetensors");
  EXPECT_EQ(manifest["parts"][1]["file"], "rest.safetensors");
}

TEST_F(StoreTest, IsTheSameBytesEachTime) {
  write();
  const auto first = part(), manifest = read_file(path / "nearplane.json");
  fs::remove_all(path), fs::create_directory(path);
  write();
  EXPECT_EQ(part(), first);
  EXPECT_EQ(read_file(path / "nearplane.json"), manifest);
}

TEST_F(StoreTest, AnyFlippedBitOfAPartIsFound) {
  write();
  const auto good = part();
  for (std::size_t i = 0; i < good.size(); i += 3) {
    auto bad = good;
    bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
    put_part(bad);
    try {
      Store::open(path).verify();
      ADD_FAILURE() << "byte " << i << " of " << good.size();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("block-00000.safetensors"), std::string::npos) << error.what();
    }
  }
  put_part(good);
  EXPECT_NO_THROW(Store::open(path).verify());
}

TEST_F(StoreTest, ReadingALayerFindsItsFlippedByte) {
  write();
  auto bytes = part();
  bytes.back() = static_cast<char>(bytes.back() ^ 1);  // in the scales of block.0.k
  put_part(bytes);
  const auto store = Store::open(path);
  EXPECT_NO_THROW(store.quantized("block.0.q"));
  expect_error(ErrorCode::bad_input, {"block-00000.safetensors", "tensor block.0.k", "checksum"},
               [&] { store.quantized("block.0.k"); });
  expect_error(ErrorCode::bad_input, {"tensor block.0.k", "checksum"}, [&] { store.verify(); });
}

TEST_F(StoreTest, FindsAFlippedByteOfAKeptTensor) {
  write();
  const auto rest = path / "rest.safetensors";
  auto bytes = read_file(rest);
  bytes.back() = static_cast<char>(bytes.back() ^ 128);
  write_file(rest, bytes);
  expect_error(ErrorCode::bad_input, {"rest.safetensors", "tensor norm.weight", "checksum"},
               [&] { Store::open(path).verify(); });
}

TEST_F(StoreTest, RefusesOtherFormatsAndVersions) {
  write();
  edit_manifest("\"version\": 1", "\"version\": 2");
  refused({"nearplane.json", "store version 2"}, ErrorCode::unsupported);
  edit_manifest("\"version\": 2", "\"version\": \"1\"");
  refused({"nearplane.json", "'version' is not an integer"});
  edit_manifest("nearplane-store", "other");
  refused({"nearplane.json", "is no nearplane store"});
  write_file(path / "nearplane.json", "{");
  refused({"nearplane.json", "not valid JSON"});
}

TEST_F(StoreTest, RefusesMissingAndMisnamedParts) {
  write();
  fs::rename(path / "rest.safetensors", path / "moved.safetensors");
  refused({"rest.safetensors", "missing"});
  edit_manifest("\"rest.safetensors\"", "\"../rest.safetensors\"");
  refused({"nearplane.json", "'../rest.safetensors'"});
  edit_manifest("\"../rest.safetensors\"", "\"..\"");
  refused({"nearplane.json", "'..'"});
  edit_manifest("\"file\": \"..\"", "\"name\": \"..\"");
  refused({"nearplane.json", "'file' is missing"});
  edit_manifest("\"parts\"", "\"pieces\"");
  refused({"nearplane.json", "'parts'"});
}

TEST_F(StoreTest, RefusesAPartOfAnotherStore) {
  write();
  auto other = a;
  std::get<IntegerTensor>(other.form).codes[0] ^= std::byte{1};
  const auto elsewhere = folder.path() / "elsewhere";
  fs::create_directory(elsewhere);
  StoreWriter writer(elsewhere);
  writer.write_part("block-00000", {{"block.0.q", &other}, {"block.0.k", &b}}, {});
  fs::copy_file(elsewhere / "block-00000.safetensors", path / "block-00000.safetensors",
                fs::copy_options::overwrite_existing);
  refused({"block-00000.safetensors", "of another store"});
}

TEST_F(StoreTest, RefusesOtherSafetensorsAsPart) {
  write();
  write_safetensors(path / "rest.safetensors", {}, {{"format", "pt"}});
  refused({"rest.safetensors", "is no part of a nearplane store"});
  write_safetensors(path / "rest.safetensors", {}, {});
  refused({"rest.safetensors", "__metadata__", "'format'"});
}

TEST_F(StoreTest, RefusesAPartListedTwice) {
  write();
  auto manifest = read_json(path / "nearplane.json");
  manifest["parts"].push_back(manifest["parts"][0]);
  write_file(path / "nearplane.json", manifest.dump());
  refused({"tensor block.0.q", "another part already"});
}

/// A store of one part with this description and these tensors, every checksum of descriptions right.
void write_by_hand(const fs::path& path, const Json& description, const std::vector<TensorToWrite>& tensors) {
  fs::create_directories(path);
  const auto text = description.dump();
  write_safetensors(path / "p.safetensors", tensors, {{"format", "nearplane-store"}, {"tensors", text}});
  const Json part = {{"file", "p.safetensors"}, {"checksum", hash64_hex(std::as_bytes(std::span(text)))}};
  write_file(path / "nearplane.json",
             Json({{"format", "nearplane-store"}, {"version", 1}, {"parts", Json::array({part})}}).dump());
}

TEST_F(StoreTest, RefusesPartsWithWrongSizes) {
  const std::vector<std::byte> bytes(64);
  const Json good = {{"kind", "integer"}, {"rows", 2},         {"cols", 16},        {"bits", 4},
                     {"group", 8},        {"symmetric", true}, {"checksum", "none"}};
  const std::vector<TensorToWrite> tensors = {{"w.codes", DType::u8, {2, 8}, std::span(bytes).first(16)},
                                              {"w.scales", DType::f16, {2, 2}, std::span(bytes).first(8)}};
  const auto bad = [&](const char* key, const Json& value, std::initializer_list<std::string> parts,
                       ErrorCode code = ErrorCode::bad_input) {
    SCOPED_TRACE(key);
    auto entry = good;
    entry[key] = value;
    write_by_hand(path, {{"w", entry}}, tensors);
    refused(parts, code);
  };
  write_by_hand(path, {{"w", good}}, tensors);
  expect_error(ErrorCode::bad_input, {"p.safetensors", "tensor w", "checksum"}, [&] { Store::open(path).verify(); });
  bad("rows", 3, {"p.safetensors", "tensor w.codes", "U8 of 3 x 8"});
  bad("cols", 17, {"tensor w.codes", "U8 of 2 x 9"});
  bad("bits", 5, {"tensor w.codes", "U8 of 2 x 10"});
  bad("group", 16, {"tensor w.scales", "F16 of 2 x 1"});
  bad("symmetric", false, {"w.zeros", "missing"});
  bad("rows", 0, {"tensor w", "0 x 16", "out of range"});
  bad("cols", std::int64_t{1} << 62, {"tensor w", "out of range"});
  bad("bits", 1, {"tensor w", "1 bits", "out of range"});
  bad("bits", 9, {"tensor w", "9 bits", "out of range"});
  bad("group", 0, {"tensor w", "groups of 0"});
  bad("group", 17, {"tensor w", "groups of 17"});
  bad("rows", "2", {"tensor w", "'rows'"});
  bad("kind", "vector", {"tensor w", "kind 'vector'"}, ErrorCode::unsupported);
}

class CodedStoreTest : public StoreTest {
 protected:
  CodedStoreTest() { a = random_coded(20, 30, 4, true, 3), b = random_coded(70, 8, 1, false, 4); }
};

TEST_F(CodedStoreTest, GivesBackWhatWasWritten) {
  const auto part = comes_back();
  EXPECT_EQ(part.get("block.0.q.step").dtype, DType::f32);
  EXPECT_EQ(part.get("block.0.q.row_steps").shape, (std::vector<std::int64_t>{20}));
  EXPECT_EQ(part.get("block.0.q.column_steps").shape, (std::vector<std::int64_t>{30}));
  EXPECT_EQ(part.find("block.0.k.row_steps"), nullptr);
}

TEST_F(CodedStoreTest, AnyFlippedBitAndAnyTruncationIsFound) { finds_any_flipped_bit_and_any_truncation(); }

TEST_F(CodedStoreTest, RefusesPartsWithWrongSizes) {
  const std::vector<std::byte> bytes(64);
  const auto refused_with = [&](const Json& entry, const TensorToWrite& last,
                                std::initializer_list<std::string> parts) {
    write_by_hand(path, {{"w", entry}},
                  {{"w.levels", DType::u8, {64}, bytes}, {"w.step", DType::f32, {1}, std::span(bytes).first(4)}, last});
    expect_error(ErrorCode::bad_input, parts, [&] { Store::open(path).verify(); });
  };
  const TensorToWrite steps{"w.row_steps", DType::u8, {2}, std::span(bytes).first(2)};
  Json good = {{"kind", "coded"}, {"rows", 2}, {"cols", 16}, {"checksum", "none"}};
  refused_with(good, steps, {"p.safetensors", "tensor w", "checksum"});
  good["rows"] = 3;
  refused_with(good, steps, {"tensor w.row_steps", "U8 of 3"});
  good["rows"] = std::int64_t{1} << 40;
  refused_with(good, steps, {"tensor w", "out of range"});
  good["rows"] = 2;
  refused_with(good, {"w.column_steps", DType::f16, {16}, std::span(bytes).first(32)}, {"w.column_steps", "U8 of 16"});
  refused_with(good, {"w.zeros", DType::u8, {16}, std::span(bytes).first(16)}, {"3 tensors, 2 are described"});
  // Right checksums around a stream that is none.
  good["checksum"] = hash64_hex(bytes) + hash64_hex(std::span(bytes).first(4)) + hash64_hex({}) + hash64_hex({});
  write_by_hand(path, {{"w", good}},
                {{"w.levels", DType::u8, {64}, bytes}, {"w.step", DType::f32, {1}, std::span(bytes).first(4)}});
  expect_error(ErrorCode::unsupported, {"tensor w", "version 0"}, [&] { Store::open(path).verify(); });
}

class RotatedStoreTest : public StoreTest {
 protected:
  RotatedStoreTest() { a = random_rotated(12, 30, 3, 5), b = random_rotated(7, 16, 2, 6); }
};

TEST_F(RotatedStoreTest, GivesBackWhatWasWritten) {
  const auto part = comes_back();
  EXPECT_EQ(part.get("block.0.q.codes").shape, (std::vector<std::int64_t>{12, 12}));
  EXPECT_EQ(part.get("block.0.q.step").dtype, DType::f32);
  EXPECT_EQ(part.get("block.0.q.seed").dtype, DType::i64);
}

TEST_F(RotatedStoreTest, AnyFlippedBitAndAnyTruncationIsFound) { finds_any_flipped_bit_and_any_truncation(); }

TEST_F(RotatedStoreTest, RefusesPartsWithWrongSizes) {
  const std::vector<std::byte> bytes(64);
  const auto first = [&](std::size_t count) { return std::span(bytes).first(count); };
  Json good = {{"kind", "rotated"}, {"rows", 2}, {"cols", 16}, {"bits", 4}, {"checksum", "none"}};
  const std::vector<TensorToWrite> tensors = {{"w.codes", DType::u8, {2, 8}, first(16)},
                                              {"w.step", DType::f32, {1}, first(4)},
                                              {"w.seed", DType::i64, {1}, first(8)}};
  const auto bad = [&](const char* key, const Json& value, std::initializer_list<std::string> parts) {
    auto entry = good;
    entry[key] = value;
    write_by_hand(path, {{"w", entry}}, tensors);
    refused(parts);
  };
  bad("rows", 3, {"tensor w.codes", "U8 of 3 x 8"});
  bad("cols", std::int64_t{1} << 40, {"tensor w", "out of range"});
  bad("bits", 5, {"tensor w.codes", "U8 of 2 x 10"});
  bad("bits", 9, {"tensor w", "9 bits"});
  bad("bits", "4", {"tensor w", "'bits'"});
  // Right checksums around a step of 0.
  good["checksum"] = hash64_hex(first(16)) + hash64_hex(first(4)) + hash64_hex(first(8));
  write_by_hand(path, {{"w", good}}, tensors);
  expect_error(ErrorCode::bad_input, {"tensor w", "step 0"}, [&] { Store::open(path).verify(); });
}

class SplitStoreTest : public StoreTest {
 protected:
  SplitStoreTest() { a = random_split(12, 30, 3, 2, 5), b = random_split(7, 16, 2, 1, 6); }
};

TEST_F(SplitStoreTest, GivesBackWhatWasWritten) {
  const auto part = comes_back();
  EXPECT_EQ(part.get("block.0.q.codes").shape, (std::vector<std::int64_t>{12, 12}));
  EXPECT_EQ(part.get("block.0.q.scales").shape, (std::vector<std::int64_t>{12, 3}));
  EXPECT_EQ(part.get("block.0.q.gaps").shape, (std::vector<std::int64_t>{18}));  // 12 x 2 symbols of 6 bits
}

TEST_F(SplitStoreTest, AnyFlippedBitAndAnyTruncationIsFound) { finds_any_flipped_bit_and_any_truncation(); }

TEST_F(SplitStoreTest, RefusesPartsWithWrongSizes) {
  const std::vector<std::byte> bytes(64);
  const auto first = [&](std::size_t count) { return std::span(bytes).first(count); };
  Json good = {{"kind", "split"}, {"rows", 2}, {"cols", 16}, {"bits", 4}, {"outliers", 1}, {"checksum", "none"}};
  const std::vector<TensorToWrite> tensors = {{"w.codes", DType::u8, {2, 8}, first(16)},
                                              {"w.scales", DType::f16, {2, 3}, first(12)},
                                              {"w.gaps", DType::u8, {2}, first(2)}};
  const auto bad = [&](const char* key, const Json& value, std::initializer_list<std::string> parts) {
    auto entry = good;
    entry[key] = value;
    write_by_hand(path, {{"w", entry}}, tensors);
    refused(parts);
  };
  bad("rows", 3, {"tensor w.codes", "U8 of 3 x 8"});
  bad("rows", std::int64_t{1} << 40, {"tensor w", "out of range"});
  bad("bits", 5, {"tensor w.codes", "U8 of 2 x 10"});
  bad("bits", 9, {"tensor w", "9 bits"});
  bad("outliers", 17, {"tensor w", "17 outliers"});
  bad("outliers", -1, {"tensor w", "-1 outliers"});
  // Right checksums around more outliers than the gaps have.
  good["checksum"] = hash64_hex(first(16)) + hash64_hex(first(12)) + hash64_hex(first(2));
  write_by_hand(path, {{"w", good}}, tensors);
  EXPECT_NO_THROW(Store::open(path).verify());
  good["outliers"] = 2;
  write_by_hand(path, {{"w", good}}, tensors);
  expect_error(ErrorCode::bad_input, {"tensor w", "gaps end in row 1"}, [&] { Store::open(path).verify(); });
}

class BlockStoreTest : public StoreTest {
 protected:
  BlockStoreTest() { a = random_blocks(3, 512, DType::q3_k, 5), b = random_blocks(2, 32, DType::iq4_nl, 6); }
};

TEST_F(BlockStoreTest, GivesBackWhatWasWritten) {
  EXPECT_EQ(comes_back().get("block.0.q.blocks").shape, (std::vector<std::int64_t>{3, 220}));
}

TEST_F(BlockStoreTest, AnyFlippedBitAndAnyTruncationIsFound) { finds_any_flipped_bit_and_any_truncation(); }

TEST_F(BlockStoreTest, RefusesPartsWithWrongSizesAndTypes) {
  const std::vector<std::byte> bytes(36, std::byte{0xff});
  Json good = {{"kind", "blocks"}, {"rows", 2}, {"cols", 32}, {"type", "IQ4_NL"}, {"checksum", hash64_hex(bytes)}};
  const auto bad = [&](const char* key, const Json& value, std::initializer_list<std::string> parts) {
    auto entry = good;
    entry[key] = value;
    write_by_hand(path, {{"w", entry}}, {{"w.blocks", DType::u8, {2, 18}, bytes}});
    refused(parts);
  };
  bad("rows", 3, {"tensor w.blocks", "U8 of 3 x 18"});
  bad("cols", 64, {"tensor w.blocks", "U8 of 2 x 36"});
  bad("cols", 33, {"tensor w", "rows of 33"});
  bad("type", "Q3_K", {"tensor w", "rows of 32"});
  for (const auto* type : {"F16", "Q9_K"}) {
    auto entry = good;
    entry["type"] = type;
    write_by_hand(path, {{"w", entry}}, {{"w.blocks", DType::u8, {2, 18}, bytes}});
    expect_error(ErrorCode::unsupported, {"tensor w", type}, [&] { Store::open(path); });
  }
  // Right checksums around a scale that is not a number.
  write_by_hand(path, {{"w", good}}, {{"w.blocks", DType::u8, {2, 18}, bytes}});
  expect_error(ErrorCode::bad_input, {"tensor w", "block 0", "nan"}, [&] { Store::open(path).verify(); });
}

class OutlierStoreTest : public StoreTest {
 protected:
  OutlierStoreTest() { a = random_outlier(20, 30, 3, 8, 5), b = random_outlier(7, 16, 2, 16, 6); }
};

TEST_F(OutlierStoreTest, GivesBackWhatWasWritten) {
  const auto part = comes_back();
  EXPECT_EQ(part.get("block.0.q.step_codes").shape, (std::vector<std::int64_t>{20, 2}));
  EXPECT_EQ(part.get("block.0.q.supers").shape, (std::vector<std::int64_t>{2, 16}));
  EXPECT_EQ(part.get("block.0.q.starts").shape, (std::vector<std::int64_t>{21}));
  EXPECT_EQ(part.get("block.0.q.columns").bytes.size(), part.get("block.0.q.values").bytes.size());
}

TEST_F(OutlierStoreTest, AnyFlippedBitAndAnyTruncationIsFound) { finds_any_flipped_bit_and_any_truncation(); }

TEST_F(OutlierStoreTest, RefusesPartsWithWrongSizes) {
  const std::vector<std::byte> bytes(64, std::byte{1});
  const auto first = [&](std::size_t count) { return std::span(bytes).first(count); };
  const std::vector<std::int32_t> starts{0, 1, 1};
  Json good = {{"kind", "outlier"}, {"rows", 2}, {"cols", 16}, {"bits", 4}, {"group", 8}, {"checksum", "none"}};
  std::vector<TensorToWrite> tensors = {{"w.codes", DType::u8, {2, 8}, first(16)},
                                        {"w.step_codes", DType::u8, {2, 1}, first(2)},
                                        {"w.zero_codes", DType::u8, {2, 1}, first(2)},
                                        {"w.supers", DType::f16, {1, 8}, first(16)},
                                        {"w.starts", DType::i32, {3}, std::as_bytes(std::span(starts))},
                                        {"w.columns", DType::u8, {2}, first(2)},
                                        {"w.values", DType::f16, {1}, first(2)}};
  const auto bad = [&](const char* key, const Json& value, std::initializer_list<std::string> parts) {
    auto entry = good;
    entry[key] = value;
    write_by_hand(path, {{"w", entry}}, tensors);
    refused(parts);
  };
  bad("rows", 3, {"tensor w.codes", "U8 of 3 x 8"});
  bad("rows", std::int64_t{1} << 40, {"tensor w", "out of range"});
  bad("bits", 5, {"tensor w.codes", "U8 of 2 x 10"});
  bad("bits", 9, {"tensor w", "9 bits"});
  bad("group", 0, {"tensor w", "groups of 0"});
  bad("group", 4, {"tensor w.step_codes", "U8 of 2 x 2"});
  // Right checksums around a kept weight in column 257.
  std::string checksum;
  for (const auto& tensor : tensors) checksum += hash64_hex(tensor.bytes);
  good["checksum"] = checksum;
  write_by_hand(path, {{"w", good}}, tensors);
  expect_error(ErrorCode::bad_input, {"tensor w", "row 0", "column 257"}, [&] { Store::open(path).verify(); });
  tensors[6] = {"w.values", DType::f16, {2}, first(4)};
  write_by_hand(path, {{"w", good}}, tensors);
  refused({"tensor w.columns", "U8 of 4"});
}

class SparseStoreTest : public StoreTest {
 protected:
  SparseStoreTest() {
    a = random_sparse(20, 96, 3, 32, {5, 77}, 2, 5).pack(), b = random_sparse(9, 40, 4, 40, {}, 2, 6).pack();
  }
};

TEST_F(SparseStoreTest, GivesBackWhatWasWritten) {
  const auto part = comes_back();
  EXPECT_EQ(part.get("block.0.q.codes").shape, (std::vector<std::int64_t>{20, 36}));
  EXPECT_EQ(part.get("block.0.q.scales").shape, (std::vector<std::int64_t>{20, 3}));
  EXPECT_EQ(part.get("block.0.q.kept").shape, (std::vector<std::int64_t>{20, 2}));
  EXPECT_EQ(part.get("block.0.q.kept_columns").dtype, DType::i32);
  EXPECT_EQ(part.get("block.0.q.entries").dtype, DType::u8);
  EXPECT_EQ(part.find("block.0.k.kept"), nullptr);
}

TEST_F(SparseStoreTest, AnyFlippedBitAndAnyTruncationIsFound) { finds_any_flipped_bit_and_any_truncation(); }

// A store somebody wrote with right checksums around wrong content.
TEST_F(SparseStoreTest, RefusesPartsWithWrongSizesAndContent) {
  std::vector<TensorToWrite> tensors;
  const auto good = write_layer("w", a, tensors);
  const auto refused_with = [&](const Json& entry, std::vector<TensorToWrite> parts,
                                std::initializer_list<std::string> words) {
    auto described = entry;
    std::string checksum;
    for (const auto* suffix : {".codes", ".scales", ".counts", ".entries", ".kept_columns", ".kept"}) {
      const auto name = std::string("w") + suffix;
      const auto piece = std::ranges::find(parts, name, &TensorToWrite::name);
      checksum += hash64_hex(piece == parts.end() ? std::span<const std::byte>{} : piece->bytes);
    }
    described["checksum"] = checksum;
    write_by_hand(path, {{"w", described}}, parts);
    if (words.size() == 0)
      EXPECT_NO_THROW(Store::open(path).verify());
    else
      expect_error(ErrorCode::bad_input, words, [&] { Store::open(path).verify(); });
  };
  refused_with(good, tensors, {});
  const auto entry_with = [&](const char* key, const Json& value) {
    auto entry = good;
    entry[key] = value;
    return entry;
  };
  refused_with(entry_with("rows", 21), tensors, {"p.safetensors", "tensor w.codes", "21"});
  refused_with(entry_with("bits", 9), tensors, {"tensor w", "9 bits", "out of range"});
  refused_with(entry_with("group", 97), tensors, {"tensor w", "groups of 97"});
  refused_with(entry_with("gap_bits", 31), tensors, {"tensor w", "gaps of 31"});
  refused_with(entry_with("delta_bits", 0), tensors, {"tensor w", "differences of 0"});
  refused_with(entry_with("count_bits", 24), tensors, {"tensor w", "counts"});
  refused_with(entry_with("count_bits", "5"), tensors, {"tensor w", "'count_bits'"});
  const auto without = [&](const std::string& name) {
    auto parts = tensors;
    std::erase_if(parts, [&](const auto& t) { return t.name == name; });
    return parts;
  };
  refused_with(good, without("w.codes"), {"w.codes", "missing"});
  refused_with(good, without("w.counts"), {"tensor w", "counts"});
  refused_with(good, without("w.entries"), {"tensor w", "entries"});
  refused_with(good, without("w.kept"), {"tensor w", "kept"});
  const auto with_bytes = [&](const std::string& name, std::span<const std::byte> bytes,
                              std::vector<std::int64_t> shape) {
    auto parts = tensors;
    auto& piece = *std::ranges::find(parts, name, &TensorToWrite::name);
    piece.bytes = bytes, piece.shape = std::move(shape);
    return parts;
  };
  const auto& entries = std::get<SparseTensor>(a.form).overflow->entries();
  const auto short_size = std::ssize(entries) - 1;
  refused_with(good, with_bytes("w.entries", std::span(entries).first(entries.size() - 1), {short_size}),
               {"tensor w", "entries"});
  const std::vector<std::byte> ones(entries.size(), std::byte{0xff});  // far beyond the last column
  refused_with(good, with_bytes("w.entries", ones, {std::ssize(ones)}), {"tensor w"});
  const std::vector<std::int32_t> twice{77, 5};
  refused_with(good, with_bytes("w.kept_columns", std::as_bytes(std::span(twice)), {2}), {"tensor w", "ascending"});
}

TEST_F(StoreTest, RefusesKeptTensorsThatDoNotFit) {
  const std::vector<std::byte> bytes(64);
  const auto bad = [&](DType stored, std::int64_t extent, const char* type, const Json& shape,
                       std::initializer_list<std::string> parts, ErrorCode code = ErrorCode::bad_input) {
    const auto size = static_cast<std::size_t>(dtype_bytes(stored, extent));
    write_by_hand(path, {{"w", {{"kind", "kept"}, {"dtype", type}, {"shape", shape}, {"checksum", "none"}}}},
                  {{"w", stored, {extent}, std::span(bytes).first(size)}});
    refused(parts, code);
  };
  bad(DType::f32, 4, "F16", {8}, {"p.safetensors", "tensor w", "stored as F32, described as F16"});
  bad(DType::f32, 4, "F32", {5}, {"tensor w", "16 bytes do not hold 5 elements of F32"});
  bad(DType::f32, 4, "F32", {-4}, {"tensor w", "extent -4"});
  bad(DType::f32, 4, "F32", {std::int64_t{1} << 62, 4}, {"tensor w", "extent 4"});
  bad(DType::f32, 4, "F33", {4}, {"tensor w", "F33"}, ErrorCode::unsupported);
  bad(DType::u8, 18, "Q4_0", {33}, {"tensor w", "18 bytes"});
  bad(DType::u8, 18, "Q4_0", {32, 1}, {"tensor w", "18 bytes"});  // rows must be whole blocks
  bad(DType::u8, 18, "Q4_0", {std::int64_t{1} << 61}, {"tensor w", "18 bytes"});
}

TEST_F(StoreTest, RefusesTensorsWithoutDescription) {
  const std::vector<std::byte> bytes(4);
  write_by_hand(path, Json::object(), {{"stray", DType::u8, {4}, bytes}});
  refused({"p.safetensors", "holds 1 tensors, 0 are described"});
}

TEST_F(StoreTest, WritesNoNameTwice) {
  StoreWriter writer(path);
  write_to(writer);
  expect_error(ErrorCode::bad_input, {"tensor block.0.q is written twice"}, [&] {
    writer.write_part("more", {{"block.0.q", &a}}, {});
  });
  expect_error(ErrorCode::bad_input, {"tensor new is written twice"}, [&] {
    writer.write_part("more", {{"new", &a}}, {{"new", DType::f32, {20}, blocks}});
  });
}

TEST_F(StoreTest, WritesNoInvalidLayer) {
  std::get<IntegerTensor>(a.form).scales[0] = 0;
  StoreWriter writer(path);
  expect_error(ErrorCode::bad_input, {"block.0.q", "scale 0 of row 0"}, [&] {
    writer.write_part("p", {{"block.0.q", &a}}, {});
  });
}

TEST_F(StoreTest, GoesOnWithPartsWrittenBefore) {
  std::vector<Json> entries;
  {
    StoreWriter writer(path);
    entries.push_back(writer.write_part("one", {{"block.0.q", &a}}, {}));
    entries.push_back(writer.write_part("two", {}, {{"norm.weight", DType::f32, {20}, blocks}}));
  }
  StoreWriter writer(path);
  for (const auto& entry : entries) writer.take_part(entry);
  expect_error(ErrorCode::bad_input, {"tensor norm.weight is written twice"}, [&] {
    writer.write_part("three", {}, {{"norm.weight", DType::f32, {20}, blocks}});
  });
  writer.write_part("three", {{"block.0.k", &b}}, {});
  writer.finish(Json::object());
  const auto store = Store::open(path);
  store.verify();
  EXPECT_EQ(store.quantized_names(), (std::vector<std::string>{"block.0.q", "block.0.k"}));
  EXPECT_EQ(store.kept_names(), std::vector<std::string>{"norm.weight"});
}

TEST_F(StoreTest, TakesNoPartThatIsDamaged) {
  StoreWriter writer(path);
  const auto layer = writer.write_part("one", {{"block.0.q", &a}}, {});
  const auto kept = writer.write_part("two", {}, {{"norm.weight", DType::f32, {20}, blocks}});
  for (const auto& [entry, tensor] : {std::pair{layer, "block.0.q"}, {kept, "norm.weight"}}) {
    const auto file = path / entry["file"].get<std::string>();
    auto bytes = read_file(file);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    write_file(file, bytes);
    expect_error(ErrorCode::bad_input, {file.string(), tensor}, [&] { StoreWriter(path).take_part(entry); });
    fs::remove(file);
    expect_error(ErrorCode::bad_input, {file.string(), "missing"}, [&] { StoreWriter(path).take_part(entry); });
  }
}

}  // namespace
}  // namespace nearplane
