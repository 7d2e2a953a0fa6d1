// Decoding of stored elements. The block types follow ggml: Q4_0 w = d (q - 8), Q4_1 w = d q + m, Q8_0 w = d q, with
// the first half of a 4-bit block in the low nibbles. One f32 rounding per product, so vector and scalar code agree.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "tensor/decode.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cassert>
#include <cstring>

#include "tensor/decode.h"
#include "tensor/half.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

float half_at(const std::byte* p) {
  std::uint16_t h;
  std::memcpy(&h, p, 2);
  return f16_to_f32(h);
}

// out[i] = d * q[i] + m over 32 bytes q; the product and the sum are rounded separately, as ggml's scalar code does.
template <bool kOffset>
void affine32(const std::uint8_t* q, float d, float m, float* out) {
  const hn::CappedTag<float, 8> df;
  const hn::Rebind<std::uint8_t, decltype(df)> du8;
  const hn::Rebind<std::int32_t, decltype(df)> di;
  for (std::size_t i = 0; i < 32; i += hn::Lanes(df)) {
    auto v = hn::Mul(hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(du8, q + i))), hn::Set(df, d));
    if constexpr (kOffset) v = hn::Add(v, hn::Set(df, m));
    hn::StoreU(v, df, out + i);
  }
}

void scaled32(const std::int8_t* q, float d, float* out) {
  const hn::CappedTag<float, 8> df;
  const hn::Rebind<std::int8_t, decltype(df)> di8;
  const hn::Rebind<std::int32_t, decltype(df)> di;
  for (std::size_t i = 0; i < 32; i += hn::Lanes(df))
    hn::StoreU(hn::Mul(hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(di8, q + i))), hn::Set(df, d)), df, out + i);
}

void nibbles(const std::byte* p, std::uint8_t* q) {
  for (int i = 0; i < 16; ++i) {
    const auto byte = static_cast<std::uint8_t>(p[i]);
    q[i] = byte & 15;
    q[i + 16] = byte >> 4;
  }
}

void DecodeQ4_0(const std::byte* p, std::int64_t blocks, float* out) {
  for (std::int64_t b = 0; b < blocks; ++b, p += 18, out += 32) {
    std::uint8_t q[32];
    std::int8_t centred[32];
    nibbles(p + 2, q);
    for (int i = 0; i < 32; ++i) centred[i] = static_cast<std::int8_t>(q[i] - 8);
    scaled32(centred, half_at(p), out);
  }
}

void DecodeQ4_1(const std::byte* p, std::int64_t blocks, float* out) {
  for (std::int64_t b = 0; b < blocks; ++b, p += 20, out += 32) {
    std::uint8_t q[32];
    nibbles(p + 4, q);
    affine32<true>(q, half_at(p), half_at(p + 2), out);
  }
}

void DecodeQ8_0(const std::byte* p, std::int64_t blocks, float* out) {
  for (std::int64_t b = 0; b < blocks; ++b, p += 34, out += 32) {
    std::int8_t q[32];
    std::memcpy(q, p + 2, 32);
    scaled32(q, half_at(p), out);
  }
}

void DecodeBf16(const std::byte* p, std::int64_t count, float* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint16_t h;
    std::memcpy(&h, p + 2 * i, 2);
    out[i] = bf16_to_f32(h);
  }
}

// By integers, because Highway's own conversion has no infinities on targets without F16C. The exponent is re-biased
// by a product with 2^112, exact for normal and subnormal numbers alike.
void DecodeF16(const std::byte* p, std::int64_t count, float* out) {
  const hn::ScalableTag<float> df;
  const hn::Rebind<std::uint16_t, decltype(df)> du16;
  const hn::Rebind<std::uint32_t, decltype(df)> du;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const auto infinity = hn::Set(du, 0x7c00u << 13);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto bits = hn::PromoteTo(du, hn::LoadU(du16, reinterpret_cast<const std::uint16_t*>(p + 2 * i)));
    const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7fffu)));
    const auto scaled = hn::BitCast(du, hn::Mul(hn::BitCast(df, magnitude), hn::Set(df, 0x1p112f)));
    const auto special = hn::Or(magnitude, hn::Set(du, 0x7f800000u));
    const auto value = hn::IfThenElse(hn::Lt(magnitude, infinity), scaled, special);
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
    hn::StoreU(hn::BitCast(df, hn::Or(value, sign)), df, out + i);
  }
  for (; i < count; ++i) out[i] = half_at(p + 2 * i);
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "base/check.h"
#include "tensor/ggml_block.h"

namespace nearplane {
namespace {
HWY_EXPORT(DecodeQ4_0);
HWY_EXPORT(DecodeQ4_1);
HWY_EXPORT(DecodeQ8_0);
HWY_EXPORT(DecodeBf16);
HWY_EXPORT(DecodeF16);
}  // namespace

void decode_f32(DType type, const std::byte* bytes, std::int64_t count, float* out) {
  assert(count >= 0 && count % dtype_info(type).block == 0);
  switch (type) {
    case DType::f32:
      if (count > 0) std::memcpy(out, bytes, static_cast<std::size_t>(count) * 4);
      return;
    case DType::f16:
      HWY_DYNAMIC_DISPATCH(DecodeF16)(bytes, count, out);
      return;
    case DType::bf16:
      HWY_DYNAMIC_DISPATCH(DecodeBf16)(bytes, count, out);
      return;
    case DType::q4_0:
      HWY_DYNAMIC_DISPATCH(DecodeQ4_0)(bytes, count / 32, out);
      return;
    case DType::q4_1:
      HWY_DYNAMIC_DISPATCH(DecodeQ4_1)(bytes, count / 32, out);
      return;
    case DType::q8_0:
      HWY_DYNAMIC_DISPATCH(DecodeQ8_0)(bytes, count / 32, out);
      return;
    case DType::q2_k:
    case DType::q3_k:
    case DType::q4_k:
    case DType::q5_k:
    case DType::q6_k:
    case DType::iq4_nl:
    case DType::iq4_xs:
      return decode_blocks(type, bytes, count / dtype_info(type).block, out);
    case DType::f64:
      for (std::int64_t i = 0; i < count; ++i) {
        double v;
        std::memcpy(&v, bytes + 8 * i, 8);
        out[i] = static_cast<float>(v);
      }
      return;
    default:
      fail_input("decode", "{} elements are no weights", dtype_info(type).name);
  }
}

}  // namespace nearplane
#endif
