// Integer codes as ggml blocks of 32, where a block can say exactly the same: one scale d for each block, and
//   Q4_0: d (q - 8)   Q4_1: d q + m   Q8_0: d q
// Nothing is rounded: a layer that no block type holds is refused.
#pragma once

#include <string>

#include "qtensor/integer_tensor.h"
#include "tensor/dtype.h"

namespace nearplane {

/// The smallest type that holds every weight of the layer: Q4_0 or Q4_1 up to 4 bits, Q8_0 above.
/// Error{unsupported} at `where` saying which group does not fit and why.
DType gguf_block_type(const IntegerTensor& layer, const std::string& where);

/// Row r as blocks of `type` (the one of gguf_block_type), dtype_bytes(type, cols) bytes to `out`.
void write_gguf_row(const IntegerTensor& layer, std::int64_t r, DType type, std::byte* out);

}  // namespace nearplane
