// Products of packed weights with activations, in integers: codes go from their bits into the 16-bit lanes of a vector
// and are multiplied with activations that are 16-bit integers with one scale for each piece of a row. The sum over a
// piece is exact; scales enter after it, in f32.
//
// Zero points are taken off at the end, from the sums of the activations.
//
// Why 16 bits: the instruction that multiplies 16-bit integers adds neighbouring products, so an activation needs no
// second plane of residuals, and with one token the bytes of the weights are the limit, not the arithmetic. A scale for
// each piece keeps the error of an activation at 2^-16 of the largest in its piece, outliers elsewhere or not.
// Vectorised at run time (Highway), single-threaded.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tensor/matrix.h"

namespace nearplane {

/// How the codes of a piece lie in its bytes.
enum class CodeForm {
  stream,        // one little-endian bit stream, unsigned (codec/pack.h)
  halves,        // bytes i hold columns i (low 4 bits) and 16 + i (high): ggml's Q4_0, Q4_1
  signed_bytes,  // two's complement: ggml's Q8_0
};

/// Bytes that must be readable after the last code of the last row: pieces are read whole, and in whole vectors.
inline constexpr std::int64_t kPackedPadding = 96;

/// How rows of a matrix are cut into pieces of neighbouring columns with one scale each.
struct PackedShape {
  std::int64_t cols = 0;
  int bits = 0;
  CodeForm form = CodeForm::stream;
  int step = 0;             // columns of a piece; the last one may have fewer
  int width = 0;            // 32 or 64 >= step: how many a vector loop takes
  int piece_bytes = 0;      // from a piece to the next
  int first_byte = 0;       // of a row that belongs to a code
  std::int64_t repeat = 1;  // pieces that share a scale; at the end of a row perhaps fewer

  /// Rows of `cols` codes of 2 to 8 bits as one bit stream, scales for each `group` columns; can_pack() holds.
  static PackedShape stream(std::int64_t cols, int bits, std::int64_t group);
  /// Whether groups begin at whole bytes.
  static bool can_pack(std::int64_t cols, std::int64_t group) { return group >= cols || group % 8 == 0; }
  /// Rows of ggml blocks: 32 codes each, `header` bytes before them.
  static PackedShape blocks(std::int64_t cols, CodeForm form, int header);

  std::int64_t pieces() const { return (cols + step - 1) / step; }
  std::int64_t groups() const { return (pieces() + repeat - 1) / repeat; }
  std::int64_t count(std::int64_t piece) const { return std::min<std::int64_t>(step, cols - piece * step); }
  /// Where among the values of its piece column j of the piece is: as vectors find it.
  int place(int j) const;
};

inline constexpr std::int64_t kPackedTokens = 64;  // whose pieces stay in the second cache

/// Activations of T <= kPackedTokens tokens as a PackedShape cuts them. What is where in the arrays is the business of
/// the vector target that runs, which must be the same for pack_inputs() and packed_dot().
struct PackedInputs {
  std::int64_t tokens = 0;
  const std::int16_t* values = nullptr;  // [pieces][room][width]
  const float* scales = nullptr;         // [pieces][room]
  const float* sums = nullptr;           // [pieces][room], of the values of a piece, times their scale

  /// For how many tokens the arrays have room.
  static std::int64_t room_for(std::int64_t tokens) {
    return tokens <= 1 ? tokens : tokens <= 4 ? 16 * tokens : (tokens + 15) / 16 * 16;
  }
};

/// x [T, cols], its columns multiplied by factor[cols] if that is not nullptr, as PackedInputs: rounded to nearest,
/// scale = largest size / kPackedTop. A piece with a number that is not finite gets the scale NaN, one of numbers below
/// 2^-100 counts as zeros.
inline constexpr int kPackedTop = 32639;  // its two bytes, both signed, are 127
void pack_inputs(const PackedShape& shape, MatrixView<const float> x, const float* factor, std::int16_t* values,
                 float* scales, float* sums);

inline constexpr std::int64_t kScalePadding = 16;

struct PackedRow {
  const std::byte* codes;  // followed by kPackedPadding readable bytes
  const float* scales;     // [pieces]
  const float* offsets;    // [pieces], zero point times scale; nullptr: zero points are 0
};

/// sums[r * T + t] = sum over pieces p of
///   scales[p] in.scales[p, t] sum over j of code[j] value[p, t, j]  -  offsets[p] in.sums[p, t].
void packed_dot(const PackedShape& shape, const PackedInputs& in, std::span<const PackedRow> rows, float* sums);

/// f16 scales [count] and their products with zero points to f32. zeros = nullptr: all `zero`. `scales` and `offsets`
/// have room for kScalePadding more.
void widen_scales(const std::uint16_t* f16, const std::uint8_t* zeros, int zero, std::int64_t count, float* scales,
                  float* offsets);

}  // namespace nearplane
