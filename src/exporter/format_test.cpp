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
  static Json config(const Format& format, const ExportGrid& grid) {
    return format.config(std::vector<LayerGrid>{{"p", grid}});
  }
  static Unpacked read(const TensorFile& file, const Json& config) {
    return unpack_layer(file, PackedConfig(config, "config.json"), "p");
  }
  void round_trip(const Format& format, const IntegerTensor& layer) const {
    SCOPED_TRACE(fmt::format("{} x {}, {} bits, groups of {}", layer.rows, layer.cols, layer.bits, layer.group));
    format.check(layer, "p");
    expect_same(layer, read(write(format, layer), config(format, grid(layer))), "p");
  }

  TemporaryFolder folder;
};

TEST_F(FormatTest, GptqReadsBackAsItWas) {
  for (const auto* format : {&gptq_format(), &gptq_v2_format()})
    for (const int bits : {2, 3, 4, 8})
      for (const bool symmetric : {false, true})
        for (const std::int64_t group : {16, 32, 96})
          round_trip(*format, random_quantized(160, 96, bits, group, symmetric, 1));
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
  const auto settings = config(gptq_format(), grid(layer));
  EXPECT_EQ(settings["checkpoint_format"], "gptq");
  EXPECT_EQ(settings["group_size"], 32);
  EXPECT_EQ(settings["sym"], false);
  EXPECT_EQ(settings["desc_act"], false);
  EXPECT_EQ(config(gptq_format(), {4, 0, true})["group_size"], -1);
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
  const auto settings = config(compressed_tensors_format(), grid(layer));
  EXPECT_EQ(settings["config_groups"]["group_0"]["targets"], Json::array({"Linear"}));
  EXPECT_EQ(settings["ignore"], Json::array({"lm_head"}));
  EXPECT_EQ(settings["config_groups"]["group_0"]["weights"]["strategy"], "group");
  const auto per_row = config(compressed_tensors_format(), {4, 0, true})["config_groups"]["group_0"]["weights"];
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
      EXPECT_THROW(expect_same(layer, read(open_safetensors(path), config(*format, grid(layer))), "p"), Error) << i;
    }
  }
}

TEST_F(FormatTest, NamesWhatReadsBackDifferently) {
  const auto layer = random_quantized(32, 32, 4, 16, false, 6);
  const auto& format = gptq_format();
  auto other = read(write(format, layer), config(format, grid(layer)));
  other.zeros(3, 1) ^= 1;
  expect_error(ErrorCode::io, {"p", "zero point 1 of row 3"}, [&] { expect_same(layer, other, "p"); });
}

TEST_F(FormatTest, RefusesFilesThatDoNotFitTheConfig) {
  const auto layer = random_quantized(32, 32, 4, 16, false, 7);
  const auto file = write(gptq_format(), layer);
  const auto refused = [&](const ExportGrid& wrong, std::initializer_list<std::string> parts) {
    expect_error(ErrorCode::bad_input, parts, [&] { read(file, config(gptq_format(), wrong)); });
  };
  refused({3, 16, false}, {"p.qweight", "instead of I32 of [3,32]"});
  refused({4, 8, false}, {"p.scales", "[4,32]"});
  refused({4, 64, false}, {"groups of 64 in rows of 32"});
  refused({9, 16, false}, {"bits is 9"});
  expect_error(ErrorCode::bad_input, {"p.weight_shape", "missing"}, [&] {
    read(file, config(compressed_tensors_format(), {4, 16, false}));
  });
  auto settings = config(gptq_format(), grid(layer));
  settings["checkpoint_format"] = "gptq_p";
  expect_error(ErrorCode::unsupported, {"gptq_p"}, [&] { read(file, settings); });
}

TEST_F(FormatTest, TellsTheVersionsOfZeroPointsApart) {
  const auto layer = random_quantized(32, 32, 4, 16, true, 7);
  const auto refused = [&](const Format& written, const Format& said, const std::string& name) {
    expect_error(ErrorCode::bad_input, {"p.qzeros", "those of checkpoint_format '" + name + "'"},
                 [&] { read(write(written, layer), config(said, grid(layer))); });
  };
  refused(gptq_format(), gptq_v2_format(), "gptq");
  refused(gptq_v2_format(), gptq_format(), "gptq_v2");
  EXPECT_EQ(write(gptq_v2_format(), layer).get("p.qzeros").bytes[0], std::byte{0x88});
  EXPECT_EQ(write(gptq_format(), layer).get("p.qzeros").bytes[0], std::byte{0x77});
}

TEST_F(FormatTest, ZeroPointsOfZeroNeedVersionTwo) {
  auto layer = random_quantized(32, 32, 4, 16, false, 8);
  layer.zeros[0] &= std::byte{0xf0};
  round_trip(gptq_v2_format(), layer);
  round_trip(compressed_tensors_format(), layer);
  expect_error(ErrorCode::unsupported, {"zero point of 0", "gptq-v2"}, [&] { write(gptq_format(), layer); });
  const auto settings = config(gptq_format(), grid(layer));  // a file where it wrapped around
  layer.zeros[0] |= std::byte{0x0f};
  auto file = write(gptq_v2_format(), layer);
  expect_error(ErrorCode::unsupported, {"p.qzeros", "output 0, group 0", "stored as 15"},
               [&] { read(file, settings); });
}

TEST_F(FormatTest, SaysSettingsOfEachLayer) {
  const std::vector<LayerGrid> layers{{"a.q", {4, 32, true}},
                                      {"a.k", {3, 32, false}},
                                      {"a.v", {4, 32, true}},
                                      {"aXk", {4, 32, true}},
                                      {"b.k", {3, 32, false}}};
  for (const auto* format : {&gptq_format(), &gptq_v2_format(), &compressed_tensors_format()}) {
    const PackedConfig config(format->config(layers), "config.json");
    for (const auto& layer : layers) EXPECT_EQ(config.grid(layer.name), layer.grid) << layer.name;
  }
  const auto groups = compressed_tensors_format().config(layers)["config_groups"];
  EXPECT_EQ(groups["group_0"]["targets"], Json::array({"Linear"}));
  EXPECT_EQ(groups["group_1"]["targets"], Json::array({"a.k", "b.k"}));
}

TEST_F(FormatTest, ReadsRulesOfOtherPrograms) {
  const Json gptq = {
      {"quant_method", "gptq"},
      {"bits", 4},
      {"group_size", 128},
      {"sym", true},
      {"dynamic", {{"-:.*lm_head", Json::object()}, {"+:.*down", {{"bits", 8}}}, {".*\\.q$", {{"group_size", 64}}}}}};
  const PackedConfig config(gptq, "c");
  EXPECT_EQ(config.kind(), PackedConfig::Kind::gptq);
  EXPECT_EQ(config.grid("m.up"), (ExportGrid{4, 128, true}));
  EXPECT_EQ(config.grid("m.down"), (ExportGrid{8, 128, true}));
  EXPECT_EQ(config.grid("m.q"), (ExportGrid{4, 64, true}));
  expect_error(ErrorCode::bad_input, {"lm_head", "not quantized"}, [&] { config.grid("lm_head"); });
  auto compressed = compressed_tensors_format().config(std::vector<LayerGrid>{{"p", {4, 32, true}}});
  compressed["config_groups"]["group_0"]["targets"] = {"re:.*mlp"};
  const PackedConfig other(compressed, "c");
  EXPECT_EQ(other.grid("model.mlp.up").bits, 4);
  expect_error(ErrorCode::bad_input, {"no config group is for layer q"}, [&] { other.grid("q"); });
}

}  // namespace
}  // namespace nearplane
