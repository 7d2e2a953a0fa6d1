// Codes of 1 to 8 bits as one little-endian bit stream per row: code k of a row occupies bits [k*b, (k+1)*b).
// This is the layout of GPTQ columns, of compressed-tensors rows (>= 0.18) and of the native store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace nearplane {

/// Bytes of a row of `count` codes of `bits` bits, rounded up to a whole byte.
constexpr std::int64_t packed_row_bytes(std::int64_t count, int bits) { return (count * bits + 7) / 8; }

/// Packs codes[0..count) (each < 2^bits) into out[packed_row_bytes]; the unused high bits of the last byte are zero.
void pack_row(std::span<const std::uint8_t> codes, int bits, std::byte* out);
/// The inverse: reads exactly packed_row_bytes(codes.size(), bits) bytes.
void unpack_row(const std::byte* in, int bits, std::span<std::uint8_t> codes);

}  // namespace nearplane
