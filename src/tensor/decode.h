// Exact decoding of stored elements to f32, whatever their type.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace nearplane {

/// Decodes `count` elements (a multiple of the block size) of floating type `type` at `bytes` (no alignment needed)
/// into out[count]. f64 is rounded to f32; every other type is exact but for ggml's block types, whose products and
/// sums are rounded to f32 as ggml does it. Single-threaded; vectorised at run time but for the types of ggml_block.h.
void decode_f32(DType type, const std::byte* bytes, std::int64_t count, float* out);

}  // namespace nearplane
