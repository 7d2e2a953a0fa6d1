#include "qtensor/block_tensor.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "random_blocks.h"
#include "tensor/decode.h"

namespace nearplane {
namespace {

TEST(BlockTensor, DecodesAnyRowsAsTheTypeSays) {
  const auto t = random_blocks(5, 512, DType::q3_k, 1);
  t.validate("t");
  EXPECT_EQ(t.stored_bytes(), 5 * 220);
  std::vector<float> all(5 * 512), some(2 * 512);
  decode_f32(DType::q3_k, t.blocks.data(), 5 * 512, all.data());
  t.decode_rows(2, 2, some.data());
  EXPECT_EQ(some, std::vector<float>(all.begin() + 2 * 512, all.begin() + 4 * 512));
}

TEST(BlockTensor, ValidationNamesWhatIsWrong) {
  const auto good = random_blocks(3, 256, DType::q2_k, 2);
  EXPECT_NO_THROW(good.validate("layer"));
  const auto bad = [&](std::initializer_list<std::string> parts, const auto& change) {
    auto t = good;
    change(t);
    expect_error(ErrorCode::bad_input, {"layer: "}, [&] { t.validate("layer"); });
    expect_error(ErrorCode::bad_input, parts, [&] { t.validate("layer"); });
  };
  bad({"0 x 256"}, [](auto& t) { t.rows = 0; });
  bad({"F16"}, [](auto& t) { t.type = DType::f16; });
  bad({"rows of 255", "256"}, [](auto& t) { t.cols = 255; });
  bad({"251", "252"}, [](auto& t) { t.blocks.pop_back(); });
  bad({"block 1", "inf"}, [](auto& t) { t.blocks[84 + 80] = std::byte{0}, t.blocks[84 + 81] = std::byte{0x7c}; });
  bad({"block 2", "nan"}, [](auto& t) { t.blocks[2 * 84 + 83] = std::byte{0x7f}; });
}

}  // namespace
}  // namespace nearplane
