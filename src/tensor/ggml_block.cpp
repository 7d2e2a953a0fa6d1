#include "tensor/ggml_block.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "tensor/half.h"

namespace nearplane {
namespace {

template <int kCount, int kFirst>
constexpr std::array<std::int8_t, kCount> consecutive() {
  std::array<std::int8_t, kCount> out{};
  for (int i = 0; i < kCount; ++i) out[static_cast<std::size_t>(i)] = static_cast<std::int8_t>(kFirst + i);
  return out;
}

constexpr auto kFromZero = consecutive<32, 0>();
constexpr auto kAround3 = consecutive<8, -4>();
constexpr auto kAround4 = consecutive<16, -8>();
constexpr auto kAround6 = consecutive<64, -32>();
constexpr std::array<std::int8_t, 16> kUneven{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

std::span<const std::int8_t> from_zero(int bits) { return std::span(kFromZero).first(std::size_t{1} << bits); }

// Numbers of `bits` bits: number i is in byte `at` + i mod width of a run of `width` bytes, which holds 8 / bits of
// them in each byte.
struct Field {
  int at, bits, width;

  int byte(int i) const { return at + width * (i / (width * (8 / bits))) + i % width; }
  int shift(int i) const { return bits * (i / width % (8 / bits)); }
  int get(const std::byte* bytes, int i) const {
    return std::to_integer<int>(bytes[byte(i)]) >> shift(i) & ((1 << bits) - 1);
  }
  /// Into bytes that are zero there; takes the low bits of `value`.
  void put(std::byte* bytes, int i, int value) const {
    bytes[byte(i)] |= static_cast<std::byte>((value & ((1 << bits) - 1)) << shift(i));
  }
};

constexpr Field kNone{0, 0, 0};

// A number in two fields, low bits first; the second may be kNone.
struct Pair {
  Field low, high = kNone;

  int get(const std::byte* bytes, int i) const {
    return low.get(bytes, i) | (high.bits > 0 ? high.get(bytes, i) << low.bits : 0);
  }
  void put(std::byte* bytes, int i, int value) const {
    low.put(bytes, i, value);
    if (high.bits > 0) high.put(bytes, i, value >> low.bits);
  }
};

// Q2_K: scale and minimum of a sub-block in one byte. Q4_K, Q5_K: six bits each in twelve bytes; the low four bits of
// the last four are where the first four left room.
enum class Scales { none, biased, whole_bytes, nibbles, twelve_bytes };

struct Place {
  BlockLayout layout;
  int d, dmin;  // bytes; dmin < 0: none
  Pair codes;
  Scales kind;
  Pair scales;  // of Scales::biased: minus 32
};

const Place* place_of(DType type) {
  static const Place q4_0{{32, 32, 1, 1, 0, 4, kAround4}, 0, -1, {{2, 4, 16}}, Scales::none, {kNone}};
  static const Place iq4_nl{{32, 32, 1, 1, 0, 4, kUneven, false}, 0, -1, {{2, 4, 16}}, Scales::none, {kNone}};
  static const Place q2_k{{256, 16, 0, 15, 15, 2, from_zero(2)}, 80, 82, {{16, 2, 32}}, Scales::nibbles, {kNone}};
  static const Place q3_k{{256, 16, -32, 31, 0, 3, kAround3}, 108, -1, {{32, 2, 32}, {0, 1, 32}}, Scales::biased,
                          {{96, 4, 8}, {104, 2, 4}}};
  static const Place q4_k{{256, 32, 0, 63, 63, 4, from_zero(4)}, 0, 2, {{16, 4, 32}}, Scales::twelve_bytes, {kNone}};
  static const Place q5_k{
      {256, 32, 0, 63, 63, 5, from_zero(5)}, 0, 2, {{48, 4, 32}, {16, 1, 32}}, Scales::twelve_bytes, {kNone}};
  static const Place q6_k{
      {256, 16, -128, 127, 0, 6, kAround6}, 208, -1, {{0, 4, 64}, {128, 2, 32}}, Scales::whole_bytes, {{192, 8, 16}}};
  static const Place iq4_xs{
      {256, 32, -32, 31, 0, 4, kUneven, false}, 0, -1, {{8, 4, 16}}, Scales::biased, {{4, 4, 1}, {2, 2, 1}}};
  switch (type) {
    case DType::q4_0:
      return &q4_0;
    case DType::q2_k:
      return &q2_k;
    case DType::q3_k:
      return &q3_k;
    case DType::q4_k:
      return &q4_k;
    case DType::q5_k:
      return &q5_k;
    case DType::q6_k:
      return &q6_k;
    case DType::iq4_nl:
      return &iq4_nl;
    case DType::iq4_xs:
      return &iq4_xs;
    default:
      return nullptr;
  }
}

constexpr int kScaleBias = 32;
constexpr int kTwelve = 4;  // where the twelve bytes begin

int twelve_get(const std::byte* s, int i, bool minimum) {
  const auto at = [&](int k) { return std::to_integer<int>(s[k]); };
  const int own = i % 4 + (minimum ? 4 : 0);
  if (i < 4) return at(own) & 63;
  return (at(i + 4) >> (minimum ? 4 : 0) & 15) | at(own) >> 6 << 4;
}

void twelve_put(std::byte* s, int i, bool minimum, int value) {
  const int own = i % 4 + (minimum ? 4 : 0);
  if (i < 4) {
    s[own] |= static_cast<std::byte>(value);
    return;
  }
  s[i + 4] |= static_cast<std::byte>((value & 15) << (minimum ? 4 : 0));
  s[own] |= static_cast<std::byte>(value >> 4 << 6);
}

void unpack_scales(const Place& place, const std::byte* bytes, BlockParts& out) {
  for (int s = 0; s < place.layout.subs(); ++s) {
    const auto k = static_cast<std::size_t>(s);
    int scale = 1, minimum = 0;
    if (place.kind == Scales::biased) scale = place.scales.get(bytes, s) - kScaleBias;
    if (place.kind == Scales::whole_bytes) scale = static_cast<std::int8_t>(place.scales.get(bytes, s));
    if (place.kind == Scales::nibbles) {
      const int byte = std::to_integer<int>(bytes[s]);
      scale = byte & 15, minimum = byte >> 4;
    }
    if (place.kind == Scales::twelve_bytes)
      scale = twelve_get(bytes + kTwelve, s, false), minimum = twelve_get(bytes + kTwelve, s, true);
    out.scales[k] = static_cast<std::int16_t>(scale), out.minimums[k] = static_cast<std::int16_t>(minimum);
  }
}

void pack_scales(const Place& place, const BlockParts& parts, std::byte* bytes) {
  for (int s = 0; s < place.layout.subs(); ++s) {
    const int scale = parts.scales[static_cast<std::size_t>(s)], minimum = parts.minimums[static_cast<std::size_t>(s)];
    if (place.kind == Scales::biased) place.scales.put(bytes, s, scale + kScaleBias);
    if (place.kind == Scales::whole_bytes) place.scales.put(bytes, s, scale);
    if (place.kind == Scales::nibbles) bytes[s] = static_cast<std::byte>(scale | minimum << 4);
    if (place.kind == Scales::twelve_bytes) {
      twelve_put(bytes + kTwelve, s, false, scale);
      twelve_put(bytes + kTwelve, s, true, minimum);
    }
  }
}

}  // namespace

const BlockLayout* block_layout(DType type) {
  const auto* place = place_of(type);
  return place == nullptr ? nullptr : &place->layout;
}

BlockParts unpack_block(DType type, const std::byte* bytes) {
  const auto& place = *place_of(type);
  BlockParts out;
  std::memcpy(&out.d, bytes + place.d, 2);
  if (place.dmin >= 0) std::memcpy(&out.dmin, bytes + place.dmin, 2);
  unpack_scales(place, bytes, out);
  for (int i = 0; i < place.layout.block; ++i)
    out.codes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(place.codes.get(bytes, i));
  return out;
}

void pack_block(DType type, const BlockParts& parts, std::byte* bytes) {
  const auto& place = *place_of(type);
  std::fill_n(bytes, dtype_info(type).block_bytes, std::byte{});
  std::memcpy(bytes + place.d, &parts.d, 2);
  if (place.dmin >= 0) std::memcpy(bytes + place.dmin, &parts.dmin, 2);
  pack_scales(place, parts, bytes);
  for (int i = 0; i < place.layout.block; ++i) place.codes.put(bytes, i, parts.codes[static_cast<std::size_t>(i)]);
}

void decode_blocks(DType type, const std::byte* bytes, std::int64_t blocks, float* out) {
  const auto& layout = *block_layout(type);
  for (std::int64_t b = 0; b < blocks; ++b, bytes += dtype_info(type).block_bytes) {
    const auto parts = unpack_block(type, bytes);
    const float d = f16_to_f32(parts.d), dmin = f16_to_f32(parts.dmin);
    for (int i = 0; i < layout.block; ++i) {
      const auto s = static_cast<std::size_t>(i / layout.sub);
      const float step = d * static_cast<float>(parts.scales[s]), least = dmin * static_cast<float>(parts.minimums[s]);
      *out++ = step * static_cast<float>(layout.levels[parts.codes[static_cast<std::size_t>(i)]]) - least;
    }
  }
}

}  // namespace nearplane
