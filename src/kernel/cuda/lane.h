// What a lane does in one instruction of the device, and the same in plain C++, so that kernel bodies compile for both.
// No device feature is used beyond sm_80.
#pragma once

#include <cstdint>
#include <cstring>

#include "codec/trellis_machine.h"  // NEARPLANE_HOST_DEVICE
#include "tensor/half.h"

// A loop whose arrays are to stay in registers of the device, and one whose registers are to stay few.
#ifdef __CUDACC__
#define NEARPLANE_UNROLL _Pragma("unroll")
#define NEARPLANE_KEEP_LOOP _Pragma("unroll 1")
#else
#define NEARPLANE_UNROLL
#define NEARPLANE_KEEP_LOOP
#endif

namespace nearplane::cuda {

inline constexpr int kLanes = 32;

/// What a lane loads at once.
struct alignas(16) Line {
  std::uint32_t word[4];
};
struct alignas(8) HalfLine {
  std::uint32_t word[2];
};

/// sum + the products of the unsigned bytes of `a` with the signed bytes of `b`.
NEARPLANE_HOST_DEVICE inline std::int32_t dot4(std::uint32_t a, std::uint32_t b, std::int32_t sum) {
#ifdef __CUDA_ARCH__
  asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
#else
  for (int i = 0; i < 32; i += 8) sum += static_cast<int>(a >> i & 255) * static_cast<std::int8_t>(b >> i & 255);
#endif
  return sum;
}

/// The low word of `high:low` after a shift to the right by the low five bits of `shift`.
NEARPLANE_HOST_DEVICE inline std::uint32_t funnel(std::uint32_t low, std::uint32_t high, std::uint32_t shift) {
#ifdef __CUDA_ARCH__
  return __funnelshift_r(low, high, shift);
#else
  return static_cast<std::uint32_t>((std::uint64_t{high} << 32 | low) >> (shift & 31));
#endif
}

/// a b + c, rounded once. Everything else is rounded once per written operation: the device code is compiled so.
NEARPLANE_HOST_DEVICE inline float multiply_add(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return __builtin_fmaf(a, b, c);
#endif
}

NEARPLANE_HOST_DEVICE inline float widen_f16(std::uint16_t h) {
#ifdef __CUDA_ARCH__
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
  return f;
#else
  return f16_to_f32(h);
#endif
}

/// Not for NaN.
NEARPLANE_HOST_DEVICE inline std::uint16_t narrow_bf16(float f) {
  std::uint32_t u;
  memcpy(&u, &f, sizeof u);
  return static_cast<std::uint16_t>((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

/// To the nearest integer, ties to even; |f| < 2^22.
NEARPLANE_HOST_DEVICE inline std::int32_t round_even(float f) {
  return static_cast<std::int32_t>(f + 0x1.8p23f - 0x1.8p23f);
}

NEARPLANE_HOST_DEVICE inline bool is_finite(float f) {
  std::uint32_t u;
  memcpy(&u, &f, sizeof u);
  return (u & 0x7f800000u) != 0x7f800000u;
}

/// The word `bytes` bytes behind `words`.
NEARPLANE_HOST_DEVICE inline std::uint32_t at_byte(const std::uint32_t* words, std::uint32_t bytes) {
  return *reinterpret_cast<const std::uint32_t*>(reinterpret_cast<const char*>(words) + bytes);
}

/// Reads that come once and should leave no trace in the first cache: the weights.
template <class T>
NEARPLANE_HOST_DEVICE T read_once(const T* at) {
#ifdef __CUDA_ARCH__
  T out;
  auto* w = reinterpret_cast<std::uint32_t*>(&out);
  if constexpr (sizeof(T) == 16)
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3])
        : "l"(at));
  else if constexpr (sizeof(T) == 8)
    asm("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];" : "=r"(w[0]), "=r"(w[1]) : "l"(at));
  else
    asm("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(w[0]) : "l"(at));
  return out;
#else
  return *at;
#endif
}

/// Reads of what many warps read: inputs.
template <class T>
NEARPLANE_HOST_DEVICE T read_often(const T* at) {
#ifdef __CUDA_ARCH__
  T out;
  auto* w = reinterpret_cast<std::uint32_t*>(&out);
  if constexpr (sizeof(T) == 16)
    asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(w[0]), "=r"(w[1]), "=r"(w[2]), "=r"(w[3]) : "l"(at));
  else if constexpr (sizeof(T) == 8)
    asm("ld.global.nc.v2.u32 {%0, %1}, [%2];" : "=r"(w[0]), "=r"(w[1]) : "l"(at));
  else
    asm("ld.global.nc.u32 %0, [%1];" : "=r"(w[0]) : "l"(at));
  return out;
#else
  return *at;
#endif
}

}  // namespace nearplane::cuda
