// Element types of tensors in files, ggml's block types included, and their exact decoding to f32.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace nearplane {

enum class DType : std::uint8_t {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u8,
  boolean,
  q4_0,
  q4_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs
};

struct DTypeInfo {
  std::string_view name;     // as written in safetensors headers ("F32") or ggml ("Q4_1")
  std::int64_t block;        // elements of one block: 1 but for ggml's block types
  std::int64_t block_bytes;  // bytes of one block
  bool floating;             // decodes to a real number a weight can be
};

const DTypeInfo& dtype_info(DType type);
/// The safetensors name ("F32", "BF16", ...) to a type; nullopt for names this version does not know.
std::optional<DType> dtype_from_safetensors(std::string_view name);
/// The same for every type's name, ggml's block types included ("Q4_1").
std::optional<DType> dtype_from_name(std::string_view name);

/// Bytes of `count` elements, which is a multiple of the block size.
std::int64_t dtype_bytes(DType type, std::int64_t count);

}  // namespace nearplane
