#include "qtensor/block_tensor.h"

#include "base/check.h"
#include "tensor/decode.h"
#include "tensor/ggml_block.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

bool is_finite_half(std::uint16_t h) { return (h & 0x7c00) != 0x7c00; }

}  // namespace

void BlockTensor::validate(const std::string& where) const {
  const auto& info = dtype_info(type);
  if (rows < 1 || cols < 1) fail_input(where, "shape {} x {} is empty", rows, cols);
  if (block_layout(type) == nullptr) fail_input(where, "{} is no type of blocks for layers", info.name);
  if (cols % info.block != 0) fail_input(where, "rows of {} are not whole blocks of {}", cols, info.block);
  if (stored_bytes() != rows * row_bytes())
    fail_input(where, "blocks has {} bytes instead of {}", stored_bytes(), rows * row_bytes());
  for (std::int64_t b = 0; b < rows * cols / info.block; ++b) {
    const auto parts = unpack_block(type, blocks.data() + b * info.block_bytes);
    if (!is_finite_half(parts.d) || !is_finite_half(parts.dmin))
      fail_input(where, "block {} has scales of {} and {}", b, f16_to_f32(parts.d), f16_to_f32(parts.dmin));
  }
}

void BlockTensor::decode_rows(std::int64_t r0, std::int64_t count, float* out) const {
  decode_f32(type, blocks.data() + r0 * row_bytes(), count * cols, out);
}

}  // namespace nearplane
