// A linear layer in one of ggml's block types, byte for byte as a GGUF file has it.
// Problem: tensor/ggml_block.h says what a block means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace nearplane {

struct BlockTensor {
  std::int64_t rows = 0, cols = 0;  // W [m, n] = [out, in]
  DType type = DType::q4_0;         // one that block_layout() knows; its blocks divide n
  std::vector<std::byte> blocks;    // [rows][row_bytes()]

  std::int64_t row_bytes() const { return dtype_bytes(type, cols); }

  /// Throws Error{bad_input} at `where` unless sizes are what the comments above say and d and dmin of every block are
  /// finite.
  void validate(const std::string& where) const;
  std::int64_t stored_bytes() const { return static_cast<std::int64_t>(blocks.size()); }
  /// The reference decode: rows [r0, r0 + count) to out[count, cols]. Single-threaded.
  void decode_rows(std::int64_t r0, std::int64_t count, float* out) const;
};

}  // namespace nearplane
