#include "container/gguf_write.h"

#include <gtest/gtest.h>

#include "container/tensor_file.h"
#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(GgufWrite, ReadsBackAsItWas) {
  TemporaryFolder folder;
  const auto path = folder.path() / "a.gguf";
  GgufMetadata metadata;
  metadata.string("general.architecture", "llama");
  metadata.u32("n", 4000000000u);
  metadata.f32("eps", 1e-5f);
  metadata.boolean("flag", true);
  const std::vector<std::string> words{"a", "", "Ġb"};
  metadata.strings("words", words);
  const std::vector<std::int32_t> kinds{1, -2, 3};
  metadata.i32s("kinds", kinds);
  const std::vector<TensorLayout> tensors{
      {"blocks", DType::q4_0, {3, 64}}, {"none", DType::f32, {0}}, {"half", DType::bf16, {5}}};
  GgufWriter file(path, metadata, tensors);
  const std::string blocks(3 * 2 * 18, 'q'), half = "0123456789";
  file.write(bytes_of(blocks.substr(0, 7)));  // in pieces
  file.write(bytes_of(blocks.substr(7)));
  file.write(bytes_of(half));
  EXPECT_FALSE(std::filesystem::exists(path));
  file.commit();
  const auto read = open_gguf(path);
  EXPECT_EQ(read.metadata().size(), 6u);
  EXPECT_EQ(read.metadata()["n"], 4000000000u);
  EXPECT_EQ(read.metadata()["eps"].get<float>(), 1e-5f);
  EXPECT_EQ(read.metadata()["flag"], true);
  EXPECT_EQ(read.metadata()["words"], Json(words));
  EXPECT_EQ(read.metadata()["kinds"], Json(kinds));
  EXPECT_EQ(read.get("blocks").shape, (std::vector<std::int64_t>{3, 64}));
  EXPECT_EQ(read.get("blocks").dtype, DType::q4_0);
  EXPECT_TRUE(std::ranges::equal(read.get("blocks").bytes, bytes_of(blocks)));
  EXPECT_TRUE(std::ranges::equal(read.get("half").bytes, bytes_of(half)));
  EXPECT_EQ(std::filesystem::file_size(path) % 32, 0u);
}

TEST(GgufWrite, RefusesWhatReadersDoNotTake) {
  TemporaryFolder folder;
  const auto refused = [&](std::vector<TensorLayout> tensors, const std::string& reason) {
    expect_error(ErrorCode::bad_input, {tensors.back().name, reason},
                 [&] { GgufWriter(folder.path() / "a.gguf", {}, tensors); });
    EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  };
  refused({{"t", DType::q4_0, {2, 48}}}, "whole blocks of 32");
  refused({{"t", DType::f32, {1}}, {"t", DType::f32, {1}}}, "twice");
  refused({{std::string(64, 't'), DType::f32, {1}}}, "at most 63 bytes");
  refused({{"t", DType::boolean, {1}}}, "BOOL has no GGUF form");
}

}  // namespace
}  // namespace nearplane
