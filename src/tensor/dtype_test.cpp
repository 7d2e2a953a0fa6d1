#include "tensor/dtype.h"

#include <gtest/gtest.h>

namespace nearplane {
namespace {

TEST(DType, KnowsSizes) {
  EXPECT_EQ(dtype_bytes(DType::f32, 10), 40);
  EXPECT_EQ(dtype_bytes(DType::bf16, 10), 20);
  EXPECT_EQ(dtype_bytes(DType::q4_0, 64), 36);
  EXPECT_EQ(dtype_bytes(DType::q4_1, 64), 40);
  EXPECT_EQ(dtype_bytes(DType::q8_0, 64), 68);
  EXPECT_TRUE(dtype_info(DType::q8_0).floating);
  EXPECT_FALSE(dtype_info(DType::u8).floating);
}

TEST(DType, FindsSafetensorsNames) {
  for (const auto type : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32, DType::i16,
                          DType::i8, DType::u8, DType::boolean})
    EXPECT_EQ(dtype_from_safetensors(dtype_info(type).name), type);
  for (const auto* name : {"Q4_0", "f32", "F8_E4M3", ""}) EXPECT_EQ(dtype_from_safetensors(name), std::nullopt);
}

}  // namespace
}  // namespace nearplane
