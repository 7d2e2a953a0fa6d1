#include "exporter/kept.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>

#include "random_quantized.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

// One Q8_0 block: a step and 32 signed bytes.
std::vector<std::byte> q8_block(float step, int first) {
  std::vector<std::byte> block(34);
  const auto d = f32_to_f16(step);
  std::memcpy(block.data(), &d, 2);
  for (int i = 0; i < 32; ++i) block[static_cast<std::size_t>(2 + i)] = static_cast<std::byte>(first - i);
  return block;
}

StoredTensor tensor(DType dtype, std::span<const std::byte> bytes, std::int64_t count) {
  return {"t", dtype, {1, count}, bytes, "file"};
}

std::vector<std::byte> written(const StoredTensor& t, DType dtype) {
  std::vector<std::byte> out;
  write_kept(t, dtype, [&](std::span<const std::byte> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); });
  return out;
}

void expect_exact(const StoredTensor& t, DType dtype) {
  const auto plan = plan_kept(t);
  EXPECT_EQ(plan.dtype, dtype);
  auto bytes = written(t, plan.dtype);
  EXPECT_TRUE(same_values(t, tensor(plan.dtype, bytes, t.shape[1])));
  bytes[5] ^= std::byte{1};
  EXPECT_FALSE(same_values(t, tensor(plan.dtype, bytes, t.shape[1])));
}

TEST(Kept, BlocksBecomeF16OnlyWhereThatIsExact) {
  const auto power = q8_block(0.25f, 100), third = q8_block(0.3333f, 127);
  expect_exact(tensor(DType::q8_0, power, 32), DType::f16);
  EXPECT_TRUE(plan_kept(tensor(DType::q8_0, power, 32)).exact);
  expect_exact(tensor(DType::q8_0, third, 32), DType::f32);
  EXPECT_FALSE(plan_kept(tensor(DType::q8_0, third, 32)).exact);
}

TEST(Kept, FloatsStayAsTheyAre) {
  const std::array values{1.0f, 0.1f, -70000.0f, 1e-9f};
  const auto bytes = std::as_bytes(std::span(values));
  const auto t = tensor(DType::f32, bytes, 4);
  expect_exact(t, DType::f32);
  EXPECT_FALSE(plan_kept(t).exact);
  EXPECT_EQ(plan_kept(t).largest, 70000);
  EXPECT_TRUE(std::ranges::equal(written(t, DType::f32), bytes));
  EXPECT_EQ(plan_kept(tensor(DType::bf16, bytes, 8)).dtype, DType::bf16);
}

TEST(Kept, TablesInCodesAreDecodedExactly) {
  const QuantizedTensor table = random_quantized(600, 700, 8, 700, true, 1);  // several pieces
  const auto plan = plan_kept(table);
  EXPECT_EQ(plan.dtype, DType::f32);
  EXPECT_FALSE(plan.exact);
  const auto decoded = table.decode();
  float largest = 0;
  for (const float v : decoded.span()) largest = std::max(largest, std::abs(v));
  EXPECT_EQ(plan.largest, largest);
  std::vector<std::byte> bytes;
  write_kept(table, plan.dtype,
             [&](std::span<const std::byte> more) { bytes.insert(bytes.end(), more.begin(), more.end()); });
  EXPECT_TRUE(std::ranges::equal(bytes, std::as_bytes(decoded.span())));
  const auto same = [&](std::vector<std::int64_t> shape) {
    return same_values(table, {"t", DType::f32, std::move(shape), bytes, "file"});
  };
  EXPECT_TRUE(same({600, 700}));
  EXPECT_FALSE(same({700, 600}));
  bytes[4 * 700 * 599] ^= std::byte{1};
  EXPECT_FALSE(same({600, 700}));
}

TEST(Kept, ShapesMustAgree) {
  const std::array values{1.0f, 2.0f};
  const auto bytes = std::as_bytes(std::span(values));
  EXPECT_FALSE(same_values({"t", DType::f32, {2}, bytes, ""}, {"t", DType::f32, {1, 2}, bytes, ""}));
}

}  // namespace
}  // namespace nearplane
