#include "tensor/dtype.h"

#include <array>

namespace nearplane {
namespace {

constexpr std::array<DTypeInfo, 20> kInfo{{
    {"F64", 1, 8, true},      {"F32", 1, 4, true},      {"F16", 1, 2, true},      {"BF16", 1, 2, true},
    {"I64", 1, 8, false},     {"I32", 1, 4, false},     {"I16", 1, 2, false},     {"I8", 1, 1, false},
    {"U8", 1, 1, false},      {"BOOL", 1, 1, false},    {"Q4_0", 32, 18, true},   {"Q4_1", 32, 20, true},
    {"Q8_0", 32, 34, true},   {"Q2_K", 256, 84, true},  {"Q3_K", 256, 110, true}, {"Q4_K", 256, 144, true},
    {"Q5_K", 256, 176, true}, {"Q6_K", 256, 210, true}, {"IQ4_NL", 32, 18, true}, {"IQ4_XS", 256, 136, true},
}};

}  // namespace

const DTypeInfo& dtype_info(DType type) { return kInfo[static_cast<std::size_t>(type)]; }

std::optional<DType> dtype_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kInfo.size(); ++i)
    if (kInfo[i].name == name) return static_cast<DType>(i);
  return std::nullopt;
}

std::optional<DType> dtype_from_safetensors(std::string_view name) {
  const auto type = dtype_from_name(name);
  return type && dtype_info(*type).block == 1 ? type : std::nullopt;
}

std::int64_t dtype_bytes(DType type, std::int64_t count) {
  const auto& info = dtype_info(type);
  return count / info.block * info.block_bytes;
}

}  // namespace nearplane
