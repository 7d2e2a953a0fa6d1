#include "exporter/format.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/atomic_file.h"
#include "base/check.h"
#include "expect_error.h"
#include "exporter/read_back.h"
#include "random_quantized.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

class FormatTest : public testing::Test {
 protected:
  TensorFile write(const Format& format, const IntegerTensor& layer) const {
    const auto path = folder.path() / "layer.safetensors";
    SafetensorsWriter file(path, format.tensors("p", layer), {});
    format.write(layer, [&](std::span<const std::byte> bytes) { file.write(bytes); });
    file.commit();
    return open_safetensors(path);
  }
  static ExportGrid grid(const IntegerTensor& t) { return {t.bits, t.groups() == 1 ? 0 : t.group, t.symmetric}; }
  void round_trip(const Format& format, const IntegerTensor& layer) const {
    SCOPED_TRACE(fmt::format("{} x {}, {} bits, groups of {}", layer.rows, layer.cols, layer.bits, layer.group));
    format.check(layer, "p");
    expect_same(layer, format.read(write(format, layer), format.config(grid(layer)), "p"), "p");
  }

  TemporaryFolder folder;
};

TEST_F(FormatTest, GptqReadsBackAsItWas) {
  for (const int bits : {2, 3, 4, 8})
    for (const bool symmetric : {false, true})
      for (const std::int64_t group : {16, 32, 96})
        round_trip(gptq_format(), random_quantized(160, 96, bits, group, symmetric, 1));
}

TEST_F(FormatTest, CompressedTensorsReadsBackAsItWas) {
  for (int bits = 2; bits <= 8; ++bits)
    for (const bool symmetric : {false, true})
      for (const std::int64_t group : {10, 50})
        round_trip(compressed_tensors_format(), random_quantized(67, 50, bits, group, symmetric, 2));
}

TEST_F(FormatTest, GptqHasTheKnownTensors) {
  const auto layer = random_quantized(64, 96, 3, 32, false, 3);
  const auto file = write(gptq_format(), layer);
  EXPECT_EQ(file.get("p.qweight").shape, (std::vector<std::int64_t>{9, 64}));
  EXPECT_EQ(file.get("p.qzeros").shape, (std::vector<std::int64_t>{3, 6}));
  EXPECT_EQ(file.get("p.scales").shape, (std::vector<std::int64_t>{3, 64}));
  EXPECT_EQ(file.get("p.g_idx").shape, (std::vector<std::int64_t>{96}));
  EXPECT_EQ(file.tensors().size(), 4u);
  const auto config = gptq_format().config(grid(layer));
  EXPECT_EQ(config["checkpoint_format"], "gptq");
  EXPECT_EQ(config["group_size"], 32);
  EXPECT_EQ(config["sym"], false);
  EXPECT_EQ(config["desc_act"], false);
  EXPECT_EQ(gptq_format().config({4, 0, true})["group_size"], -1);
}

TEST_F(FormatTest, CompressedTensorsHasTheKnownTensors) {
  const auto layer = random_quantized(40, 96, 3, 32, false, 3);
  const auto file = write(compressed_tensors_format(), layer);
  EXPECT_EQ(file.get("p.weight_packed").shape, (std::vector<std::int64_t>{40, 9}));
  EXPECT_EQ(file.get("p.weight_scale").shape, (std::vector<std::int64_t>{40, 3}));
  EXPECT_EQ(file.get("p.weight_zero_point").shape, (std::vector<std::int64_t>{4, 3}));
  EXPECT_EQ(file.get("p.weight_shape").dtype, DType::i64);
  EXPECT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(write(compressed_tensors_format(), random_quantized(40, 96, 3, 32, true, 3)).tensors().size(), 3u);
  const auto config = compressed_tensors_format().config(grid(layer));
  EXPECT_EQ(config["config_groups"]["group_0"]["targets"], Json::array({"Linear"}));
  EXPECT_EQ(config["ignore"], Json::array({"lm_head"}));
  EXPECT_EQ(config["config_groups"]["group_0"]["weights"]["strategy"], "group");
  const auto per_row = compressed_tensors_format().config({4, 0, true})["config_groups"]["group_0"]["weights"];
  EXPECT_EQ(per_row["strategy"], "channel");
  EXPECT_TRUE(per_row["group_size"].is_null());
}

TEST_F(FormatTest, GptqRefusesWhatItCannotHold) {
  const auto refused = [](std::int64_t rows, std::int64_t cols, int bits, const std::string& reason) {
    const auto layer = random_quantized(rows, cols, bits, cols, true, 4);
    expect_error(ErrorCode::unsupported, {"p", reason}, [&] { gptq_format().check(layer, "p"); });
  };
  refused(32, 32, 5, "this layer has 5");
  refused(48, 32, 4, "multiple of 32 outputs, this layer has 48");
  refused(32, 40, 4, "multiple of 32 inputs, this layer has 40");
}

TEST_F(FormatTest, AnyFlippedBitIsFound) {
  for (const auto* format : {&gptq_format(), &compressed_tensors_format()}) {
    const auto layer = random_quantized(32, 32, 3, 16, false, 5);
    write(*format, layer);
    const auto path = folder.path() / "layer.safetensors";
    const auto good = read_file(path);
    std::uint64_t header = 0;
    std::memcpy(&header, good.data(), 8);
    for (std::size_t i = 8 + header; i < good.size(); ++i) {
      auto bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
      folder.write("layer.safetensors", bad);
      EXPECT_THROW(expect_same(layer, format->read(open_safetensors(path), format->config(grid(layer)), "p"), "p"),
                   Error)
          << i;
    }
  }
}

TEST_F(FormatTest, NamesWhatReadsBackDifferently) {
  const auto layer = random_quantized(32, 32, 4, 16, false, 6);
  const auto& format = gptq_format();
  auto other = format.read(write(format, layer), format.config(grid(layer)), "p");
  other.zeros(3, 1) ^= 1;
  expect_error(ErrorCode::io, {"p", "zero point 1 of row 3"}, [&] { expect_same(layer, other, "p"); });
}

TEST_F(FormatTest, RefusesFilesThatDoNotFitTheConfig) {
  const auto layer = random_quantized(32, 32, 4, 16, false, 7);
  const auto file = write(gptq_format(), layer);
  const auto refused = [&](const ExportGrid& wrong, std::initializer_list<std::string> parts) {
    expect_error(ErrorCode::bad_input, parts, [&] { gptq_format().read(file, gptq_format().config(wrong), "p"); });
  };
  refused({3, 16, false}, {"p.qweight", "instead of I32 of [3,32]"});
  refused({4, 8, false}, {"p.scales", "[4,32]"});
  refused({4, 64, false}, {"groups of 64 in rows of 32"});
  refused({9, 16, false}, {"bits is 9"});
  expect_error(ErrorCode::bad_input, {"p.weight_shape", "missing"}, [&] {
    compressed_tensors_format().read(file, compressed_tensors_format().config({4, 16, false}), "p");
  });
  auto config = gptq_format().config(grid(layer));
  config["checkpoint_format"] = "gptq_v2";
  expect_error(ErrorCode::unsupported, {"gptq_v2"}, [&] { gptq_format().read(file, config, "p"); });
}

}  // namespace
}  // namespace nearplane
