// Eight codes of b bits are b bytes: spread or gathered by one instruction where the machine has it (BMI2 comes with
// every AVX2 machine), by shifts elsewhere.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/pack.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cassert>
#include <cstring>

#include "codec/pack.h"

#if HWY_ARCH_X86_64 && !defined(NEARPLANE_CODEC_PACK_INTRINSICS)
#define NEARPLANE_CODEC_PACK_INTRINSICS
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {

// byte k of the result = bits [k*b, (k+1)*b) of `stream`
std::uint64_t spread(std::uint64_t stream, int bits) {
  const std::uint64_t mask = 0x0101010101010101ull * ((1u << bits) - 1);
#if HWY_ARCH_X86_64 && HWY_TARGET <= HWY_AVX2
  return _pdep_u64(stream, mask);
#else
  std::uint64_t codes = 0;
  for (int k = 0; k < 8; ++k) codes |= ((stream >> (k * bits)) & ((1u << bits) - 1)) << (8 * k);
  return codes & mask;
#endif
}

std::uint64_t gather(std::uint64_t codes, int bits) {
#if HWY_ARCH_X86_64 && HWY_TARGET <= HWY_AVX2
  return _pext_u64(codes, 0x0101010101010101ull * ((1u << bits) - 1));
#else
  std::uint64_t stream = 0;
  for (int k = 0; k < 8; ++k) stream |= ((codes >> (8 * k)) & ((1u << bits) - 1)) << (k * bits);
  return stream;
#endif
}

void Unpack(const std::byte* in, int bits, std::uint8_t* codes, std::size_t count) {
  const auto end = in + packed_row_bytes(static_cast<std::int64_t>(count), bits);
  for (; count >= 8; count -= 8, codes += 8, in += bits) {
    std::uint64_t stream = 0;
    if (end - in >= 8)
      std::memcpy(&stream, in, 8);
    else
      std::memcpy(&stream, in, static_cast<std::size_t>(bits));
    const auto eight = spread(stream, bits);
    std::memcpy(codes, &eight, 8);
  }
  if (count == 0) return;
  std::uint64_t stream = 0;
  std::memcpy(&stream, in, static_cast<std::size_t>(end - in));
  const auto rest = spread(stream, bits);
  std::memcpy(codes, &rest, count);
}

void Pack(const std::uint8_t* codes, std::size_t count, int bits, std::byte* out) {
  for (std::size_t bytes; count > 0; out += bytes) {
    const auto step = std::min<std::size_t>(count, 8);
    std::uint64_t eight = 0;
    std::memcpy(&eight, codes, step);
    const auto stream = gather(eight, bits);
    bytes = static_cast<std::size_t>(packed_row_bytes(static_cast<std::int64_t>(step), bits));
    std::memcpy(out, &stream, bytes);
    codes += step, count -= step;
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nearplane {
namespace {
HWY_EXPORT(Unpack);
HWY_EXPORT(Pack);
}  // namespace

void pack_row(std::span<const std::uint8_t> codes, int bits, std::byte* out) {
  assert(bits >= 1 && bits <= 8);
  assert(std::all_of(codes.begin(), codes.end(), [&](int code) { return code < 1 << bits; }));
  HWY_DYNAMIC_DISPATCH(Pack)(codes.data(), codes.size(), bits, out);
}

void unpack_row(const std::byte* in, int bits, std::span<std::uint8_t> codes) {
  assert(bits >= 1 && bits <= 8);
  HWY_DYNAMIC_DISPATCH(Unpack)(in, bits, codes.data(), codes.size());
}

}  // namespace nearplane
#endif
