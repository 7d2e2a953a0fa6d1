// The element types of GGUF files and their numbers in tensor infos.
#pragma once

#include <array>
#include <cstdint>

#include "tensor/dtype.h"

namespace nearplane {

struct GgmlType {
  std::uint32_t id;
  DType dtype;
};
inline constexpr std::array kGgmlTypes{
    GgmlType{0, DType::f32},   GgmlType{1, DType::f16},   GgmlType{2, DType::q4_0},    GgmlType{3, DType::q4_1},
    GgmlType{8, DType::q8_0},  GgmlType{10, DType::q2_k}, GgmlType{11, DType::q3_k},   GgmlType{12, DType::q4_k},
    GgmlType{13, DType::q5_k}, GgmlType{14, DType::q6_k}, GgmlType{20, DType::iq4_nl}, GgmlType{23, DType::iq4_xs},
    GgmlType{24, DType::i8},   GgmlType{25, DType::i16},  GgmlType{26, DType::i32},    GgmlType{27, DType::i64},
    GgmlType{28, DType::f64},  GgmlType{30, DType::bf16}};

/// Types of metadata values.
enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

}  // namespace nearplane
