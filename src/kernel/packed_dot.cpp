#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/packed_dot.cpp"
#define HWY_WANT_AVX3_DL
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <array>
#include <cstring>

#include "kernel/packed_dot.h"
#include "kernel/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

// Bit by bit: what the vectors have to agree with.
int CodeAt(const PackedShape& shape, const std::uint8_t* at, int j) {
  if (shape.form == CodeForm::signed_bytes) return static_cast<std::int8_t>(at[j]);
  int code = 0;
  if (shape.form == CodeForm::halves)
    code = at[j % 16] >> (j < 16 ? 0 : 4) & 15;
  else
    for (int i = 0; i < shape.bits; ++i) code |= (at[(j * shape.bits + i) / 8] >> (j * shape.bits + i) % 8 & 1) << i;
  return code;
}

void PackedDot(const PackedShape& shape, const PackedInputs& in, std::span<const PackedRow> rows, float* sums) {
  for (const auto& row : rows)
    for (std::int64_t t = 0; t < in.tokens; ++t, ++sums) {
      *sums = 0;
      for (std::int64_t p = 0; p < shape.pieces(); ++p) {
        const auto* codes = reinterpret_cast<const std::uint8_t*>(row.codes) + shape.first_byte + p * shape.piece_bytes;
        const auto at = p * in.tokens + t;
        std::int32_t part = 0;
        for (int j = 0; j < shape.count(p); ++j)
          part += CodeAt(shape, codes, j) * in.values[at * shape.width + shape.place(j)];
        *sums += row.scales[p] * in.scales[at] * static_cast<float>(part);
        if (row.offsets != nullptr) *sums -= row.offsets[p] * in.sums[t * shape.pieces() + p];
      }
    }
}

#else

// 16 lanes at most: more would not divide a piece, and one token is bound by memory with these.
using D16 = hn::CappedTag<std::int16_t, 16>;
using V16 = hn::Vec<D16>;
using D32 = hn::RepartitionToWide<D16>;
using V32 = hn::Vec<D32>;
using DF = hn::Rebind<float, D32>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(D16()));
constexpr int kFloats = kLanes / 2;

// Loaders: the codes of a piece of 16 kUnits columns, as vectors of kLanes lanes in the order of pack_inputs().

// Any stream: the 16 bits that hold a code are brought into its lane and shifted, by a multiplication where lanes
// differ.
template <int kBits>
struct AnyStream {
  static constexpr std::array<std::uint8_t, 32> Bytes() {
    std::array<std::uint8_t, 32> out{};
    for (int i = 0; i < 16; ++i) {
      out[static_cast<std::size_t>(2 * i)] = static_cast<std::uint8_t>(i * kBits / 8);
      out[static_cast<std::size_t>(2 * i + 1)] = static_cast<std::uint8_t>(i * kBits / 8 + 1);
    }
    return out;
  }
  static constexpr std::array<std::uint16_t, 16> Factors() {
    std::array<std::uint16_t, 16> out{};
    for (int i = 0; i < 16; ++i)
      out[static_cast<std::size_t>(i)] = static_cast<std::uint16_t>(1 << (16 - kBits - i * kBits % 8));
    return out;
  }
  static constexpr std::array<std::uint8_t, 32> kBytes = Bytes();
  static constexpr std::array<std::uint16_t, 16> kFactors = Factors();

  template <int kUnits>
  static HWY_INLINE void Load(const std::uint8_t* at, V16* w) {
    const D16 d;
    const hn::RebindToUnsigned<D16> du;
    const hn::Repartition<std::uint8_t, D16> d8;
    const auto bytes = hn::LoadU(d8, kBytes.data());
    const auto factors = hn::LoadU(du, kFactors.data());
    for (int k = 0; k < 16 * kUnits / kLanes; ++k) {
      const auto spread = hn::TableLookupBytes(hn::LoadDup128(d8, at + k * kLanes * kBits / 8), bytes);
      w[k] = hn::BitCast(d, hn::ShiftRight<16 - kBits>(hn::Mul(hn::BitCast(du, spread), factors)));
    }
  }
};

template <class T>
HWY_INLINE V16 Widen(const std::uint8_t* at) {
  const hn::Rebind<T, D16> d8;
  return hn::PromoteTo(D16(), hn::LoadU(d8, reinterpret_cast<const T*>(at)));
}

struct Bytes {
  template <int kUnits>
  static HWY_INLINE void Load(const std::uint8_t* at, V16* w) {
    for (int k = 0; k < 16 * kUnits / kLanes; ++k) w[k] = Widen<std::uint8_t>(at + k * kLanes);
  }
};

struct SignedBytes {
  template <int kUnits>
  static HWY_INLINE void Load(const std::uint8_t* at, V16* w) {
    for (int k = 0; k < 16 * kUnits / kLanes; ++k) w[k] = Widen<std::int8_t>(at + k * kLanes);
  }
};

// 32 bytes are four units: the low halves of all, the high halves of all.
struct WideHalves {
  template <int kUnits>
  static HWY_INLINE void Load(const std::uint8_t* at, V16* w) {
    static_assert(kUnits == 4);
    constexpr int kVectors = 32 / kLanes;
    const auto low = hn::Set(D16(), 15);
    for (int v = 0; v < kVectors; ++v) {
      const auto both = Widen<std::uint8_t>(at + v * kLanes);
      w[v] = hn::And(both, low);
      w[kVectors + v] = hn::ShiftRight<4>(both);
    }
  }
};

// 16 bytes are two units: their low halves, their high halves.
struct Halves {
  template <int kUnits>
  static HWY_INLINE void Load(const std::uint8_t* at, V16* w) {
    constexpr int kVectors = 16 / kLanes;
    const auto low = hn::Set(D16(), 15);
    for (int u = 0; u < kUnits / 2; ++u, at += 16, w += 2 * kVectors)
      for (int v = 0; v < kVectors; ++v) {
        const auto both = Widen<std::uint8_t>(at + v * kLanes);
        w[v] = hn::And(both, low);
        w[kVectors + v] = hn::ShiftRight<4>(both);
      }
  }
};

// 16 bytes are four units.
struct Quarters {
  template <int kUnits>
  static HWY_INLINE void Load(const std::uint8_t* at, V16* w) {
    static_assert(kUnits == 4);
    constexpr int kVectors = 16 / kLanes;
    const auto low = hn::Set(D16(), 3);
    for (int v = 0; v < kVectors; ++v) {
      const auto all = Widen<std::uint8_t>(at + v * kLanes);
      w[v] = hn::And(all, low);
      w[kVectors + v] = hn::And(hn::ShiftRight<2>(all), low);
      w[2 * kVectors + v] = hn::And(hn::ShiftRight<4>(all), low);
      w[3 * kVectors + v] = hn::ShiftRight<6>(all);
    }
  }
};

// The products of kRows pieces with the same activations, in f32 but exact: below 2^24 each, or rounded once.
template <int kVectors, int kRows>
HWY_INLINE void Dot(const V16 (&w)[kRows][kVectors], const std::int16_t* x, hn::Vec<DF> (&out)[kRows]) {
  const D16 d;
  const D32 d32;
  V32 even[kRows], odd[kRows];
  for (int r = 0; r < kRows; ++r) even[r] = odd[r] = hn::Zero(d32);
  for (int k = 0; k < kVectors; ++k) {
    const auto xk = hn::LoadU(d, x + k * kLanes);
    for (int r = 0; r < kRows; ++r) even[r] = hn::ReorderWidenMulAccumulate(d32, w[r][k], xk, even[r], odd[r]);
  }
  for (int r = 0; r < kRows; ++r) out[r] = hn::ConvertTo(DF(), hn::RearrangeToOddPlusEven(even[r], odd[r]));
}

// What kRows rows read, a piece at a time.
template <int kRows>
struct Cursor {
  Cursor(const PackedShape& shape, const PackedRow* rows) : step(shape.piece_bytes) {
    for (int r = 0; r < kRows; ++r) {
      codes[r] = reinterpret_cast<const std::uint8_t*>(rows[r].codes) + shape.first_byte;
      scales[r] = rows[r].scales;
    }
    if constexpr (kRows > 1) {
      const auto distance = kRows * (codes[1] - codes[0]);
      if (distance > 0) ahead = (kAhead + distance - 1) / distance * distance;
    }
  }
  // Fetches what lies ahead of the next `pieces`: the same place of rows that come later, if rows follow each other.
  HWY_INLINE void Fetch(std::int64_t pieces) const {
    for (int r = 0; r < kRows; ++r)
      for (std::int64_t byte = 0; byte < pieces * step; byte += kLine) hwy::Prefetch(codes[r] + ahead + byte);
  }
  HWY_INLINE void Next() {
    for (int r = 0; r < kRows; ++r) codes[r] += step, ++scales[r];
  }
  static constexpr std::int64_t kAhead = 2048, kLine = 64;  // bytes
  const std::uint8_t* codes[kRows];
  const float* scales[kRows];
  std::int64_t step, ahead = 0;
};

constexpr int kFetch = 8;  // pieces whose successors are fetched at a time

// One token, pieces [p, p + count) with count <= kFetch.
template <class Loader, int kUnits, int kRows>
HWY_INLINE void SweepPieces(const PackedInputs& in, std::int64_t p, std::int64_t count, Cursor<kRows>& at,
                            hn::Vec<DF> (&sum)[kRows]) {
  constexpr int kWidth = 16 * kUnits;
  const DF df;
  HWY_ALIGN float factors[kRows][kFetch];
  at.Fetch(count);
  for (int r = 0; r < kRows; ++r)
    for (std::int64_t i = 0; i < count; ++i) factors[r][i] = at.scales[r][i] * in.scales[p + i];
  const auto* x = in.values + p * kWidth;
  for (std::int64_t i = 0; i < count; ++i, x += kWidth, at.Next()) {
    V16 w[kRows][kWidth / kLanes];
    hn::Vec<DF> part[kRows];
    for (int r = 0; r < kRows; ++r) Loader::template Load<kUnits>(at.codes[r], w[r]);
    Dot(w, x, part);
    for (int r = 0; r < kRows; ++r) sum[r] = hn::MulAdd(hn::Set(df, factors[r][i]), part[r], sum[r]);
  }
}

// One token.
template <class Loader, int kUnits, int kRows>
void SweepOne(const PackedShape& shape, const PackedInputs& in, const PackedRow* rows, float* sums) {
  const DF df;
  Cursor<kRows> at(shape, rows);
  hn::Vec<DF> sum[kRows];
  for (int r = 0; r < kRows; ++r) sum[r] = hn::Zero(df);
  const auto pieces = shape.pieces();
  std::int64_t p = 0;
  for (; p + kFetch <= pieces; p += kFetch) SweepPieces<Loader, kUnits>(in, p, kFetch, at, sum);
  if (p < pieces) SweepPieces<Loader, kUnits>(in, p, pieces - p, at, sum);
  for (int r = 0; r < kRows; ++r) sums[r] = hn::GetLane(hn::SumOfLanes(df, sum[r]));
}

// Several tokens.
template <class Loader, int kUnits, int kRows>
void Sweep(const PackedShape& shape, const PackedInputs& in, const PackedRow* rows, float* sums) {
  constexpr std::int64_t kWidth = 16 * kUnits;
  const DF df;
  Cursor<kRows> at(shape, rows);
  HWY_ALIGN float sum[kRows * kPackedTokens * kFloats];
  for (std::int64_t i = 0; i < kRows * in.tokens * kFloats; i += kFloats) hn::Store(hn::Zero(df), df, sum + i);
  const auto* x = in.values;
  const auto* x_scale = in.scales;
  for (std::int64_t p = 0, pieces = shape.pieces(); p < pieces; ++p, at.Next()) {
    at.Fetch(1);
    V16 w[kRows][kWidth / kLanes];
    hn::Vec<DF> scale[kRows];
    for (int r = 0; r < kRows; ++r) {
      Loader::template Load<kUnits>(at.codes[r], w[r]);
      scale[r] = hn::Set(df, *at.scales[r]);
    }
    float* to = sum;
    for (std::int64_t t = 0; t < in.tokens; ++t) {
      const auto token_scale = hn::Set(df, x_scale[t]);
      hn::Vec<DF> part[kRows];
      Dot(w, x + t * kWidth, part);
      for (int r = 0; r < kRows; ++r, to += kFloats)
        hn::Store(hn::MulAdd(hn::Mul(scale[r], token_scale), part[r], hn::Load(df, to)), df, to);
    }
    x += in.tokens * kWidth;
    x_scale += in.tokens;
  }
  for (std::int64_t t = 0; t < in.tokens; ++t)
    for (int r = 0; r < kRows; ++r)
      sums[r * in.tokens + t] = hn::GetLane(hn::SumOfLanes(df, hn::Load(df, sum + (t * kRows + r) * kFloats)));
}

// Takes the zero points off the sums of a row.
HWY_INLINE void SubtractOffsets(const PackedInputs& in, std::int64_t pieces, const float* offsets, float* sums) {
  const hn::CappedTag<float, 16> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t t = 0; t < in.tokens; ++t) {
    const auto* x = in.sums + t * pieces;
    auto all = hn::Zero(d);
    std::int64_t p = 0;
    for (; p + lanes <= pieces; p += lanes) all = hn::MulAdd(hn::LoadU(d, offsets + p), hn::LoadU(d, x + p), all);
    float sum = hn::GetLane(hn::SumOfLanes(d, all));
    for (; p < pieces; ++p) sum += offsets[p] * x[p];
    sums[t] -= sum;
  }
}

using RowsProduct = void (*)(const PackedShape&, const PackedInputs&, const PackedRow*, float*);

// kSide rows at a time by `most`, the last ones alone by `last`; then the zero points.
template <int kSide>
void InTurns(const PackedShape& shape, const PackedInputs& in, std::span<const PackedRow> rows, RowsProduct most,
             RowsProduct last, float* sums) {
  const auto count = std::ssize(rows), tokens = in.tokens;
  std::int64_t r = 0;
  for (; r + kSide <= count; r += kSide) most(shape, in, &rows[static_cast<std::size_t>(r)], sums + r * tokens);
  for (; r < count; ++r) last(shape, in, &rows[static_cast<std::size_t>(r)], sums + r * tokens);
  for (r = 0; r < count; ++r)
    if (const auto* offsets = rows[static_cast<std::size_t>(r)].offsets)
      SubtractOffsets(in, shape.pieces(), offsets, sums + r * tokens);
}

#if HWY_TARGET == HWY_AVX3_DL

HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")  // which the target has, and this version of Highway forgets

#include "kernel/packed_bytes-inl.h"

void PackedDot(const PackedShape& shape, const PackedInputs& in, std::span<const PackedRow> rows, float* sums) {
  const bool wide = shape.width == 64;
  if (shape.form == CodeForm::signed_bytes) return ByteProduct<WholeSignedBytes<32>, 32>(shape, in, rows, sums);
  if (shape.form == CodeForm::halves) return ByteProduct<ByteHalves32, 32>(shape, in, rows, sums);
  switch (shape.bits) {
    case 2:
      return wide ? ByteProduct<ByteQuarters, 64>(shape, in, rows, sums)
                  : ByteProduct<ByteStream<2, 32>, 32>(shape, in, rows, sums);
    case 3:
      return wide ? ByteProduct<ByteStream<3, 64>, 64>(shape, in, rows, sums)
                  : ByteProduct<ByteStream<3, 32>, 32>(shape, in, rows, sums);
    case 4:
      return wide ? ByteProduct<ByteHalves64, 64>(shape, in, rows, sums)
                  : ByteProduct<ByteHalves32, 32>(shape, in, rows, sums);
    case 5:
      return wide ? ByteProduct<ByteStream<5, 64>, 64>(shape, in, rows, sums)
                  : ByteProduct<ByteStream<5, 32>, 32>(shape, in, rows, sums);
    case 6:
      return wide ? ByteProduct<ByteStream<6, 64>, 64>(shape, in, rows, sums)
                  : ByteProduct<ByteStream<6, 32>, 32>(shape, in, rows, sums);
    case 7:
      return wide ? ByteProduct<ByteStream<7, 64>, 64>(shape, in, rows, sums)
                  : ByteProduct<ByteStream<7, 32>, 32>(shape, in, rows, sums);
    default:
      return wide ? ByteProduct<WholeBytes<64>, 64>(shape, in, rows, sums)
                  : ByteProduct<WholeBytes<32>, 32>(shape, in, rows, sums);
  }
}

HWY_POP_ATTRIBUTES

#else

template <class Loader, int kUnits>
void Product(const PackedShape& shape, const PackedInputs& in, std::span<const PackedRow> rows, float* sums) {
  if (in.tokens == 1)
    InTurns<2>(shape, in, rows, SweepOne<Loader, kUnits, 2>, SweepOne<Loader, kUnits, 1>, sums);
  else
    InTurns<2>(shape, in, rows, Sweep<Loader, kUnits, 2>, Sweep<Loader, kUnits, 1>, sums);
}

template <class Loader, class WideLoader = Loader>
void ProductOf(const PackedShape& shape, const PackedInputs& in, std::span<const PackedRow> rows, float* sums) {
  shape.width == 32 ? Product<Loader, 2>(shape, in, rows, sums) : Product<WideLoader, 4>(shape, in, rows, sums);
}

void PackedDot(const PackedShape& shape, const PackedInputs& in, std::span<const PackedRow> rows, float* sums) {
  if (shape.form == CodeForm::signed_bytes) return Product<SignedBytes, 2>(shape, in, rows, sums);
  if (shape.form == CodeForm::halves) return Product<Halves, 2>(shape, in, rows, sums);
  switch (shape.bits) {
    case 2:
      return ProductOf<AnyStream<2>, Quarters>(shape, in, rows, sums);
    case 3:
      return ProductOf<AnyStream<3> >(shape, in, rows, sums);
    case 4:
      return ProductOf<Halves, WideHalves>(shape, in, rows, sums);
    case 5:
      return ProductOf<AnyStream<5> >(shape, in, rows, sums);
    case 6:
      return ProductOf<AnyStream<6> >(shape, in, rows, sums);
    case 7:
      return ProductOf<AnyStream<7> >(shape, in, rows, sums);
    default:
      return ProductOf<Bytes>(shape, in, rows, sums);
  }
}

#endif
#endif

// Largest size among x[n]; infinite or NaN if one of them is.
HWY_INLINE float LargestSize(const float* x, std::int64_t n) {
  const hn::CappedTag<float, 16> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto most = hn::Zero(d), poison = hn::Zero(d);
  for (std::int64_t i = 0; i < n; i += lanes) {
    const auto v = hn::Abs(hn::LoadU(d, x + i));
    most = hn::Max(most, v);
    poison = hn::Add(poison, hn::Sub(v, v));  // NaN where v is not finite
  }
  return hn::GetLane(hn::MaxOfLanes(d, most)) + hn::GetLane(hn::SumOfLanes(d, poison));
}

// Returns the sum of out[n].
HWY_INLINE std::int64_t RoundTo16(const float* x, std::int64_t n, float factor, std::int16_t* out) {
  const hn::CappedTag<float, 8> d;
  const hn::Rebind<std::int16_t, decltype(d)> d16;
  const auto f = hn::Set(d, factor);
  auto sum = hn::Zero(hn::RebindToSigned<decltype(d)>());
  for (std::int64_t i = 0; i < n; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    const auto whole = hn::NearestInt(hn::Mul(hn::LoadU(d, x + i), f));
    sum = hn::Add(sum, whole);
    hn::StoreU(hn::DemoteTo(d16, whole), d16, out + i);
  }
  return hn::GetLane(hn::SumOfLanes(hn::RebindToSigned<decltype(d)>(), sum));
}

#if HWY_TARGET != HWY_AVX3_DL

// Where pack_inputs() writes: piece by piece, tokens within.
struct InputsWriter {
  InputsWriter(const PackedShape& shape, std::int64_t tokens, std::int16_t* values, float* scales, float* sums)
      : shape_(shape), tokens_(tokens), values_(values), scales_(scales), sums_(sums) {}
  void put(std::int64_t p, std::int64_t t, const std::int16_t* piece, float scale, float sum) {
    std::copy_n(piece, shape_.width, values_ + (p * tokens_ + t) * shape_.width);
    scales_[p * tokens_ + t] = scale;
    sums_[t * shape_.pieces() + p] = sum;
  }

 private:
  const PackedShape& shape_;
  std::int64_t tokens_;
  std::int16_t* values_;
  float *scales_, *sums_;
};

#endif

void PackInputs(const PackedShape& shape, MatrixView<const float> x, const float* factor, std::int16_t* values,
                float* scales, float* sums) {
  constexpr float kTop = kPackedTop, kLeast = 0x1p-100f;  // so that kTop / kLeast is a number
  std::array<int, 64> place;
  for (int j = 0; j < shape.width; ++j) place[static_cast<std::size_t>(j)] = shape.place(j);
  alignas(64) std::array<float, 64> piece;
  alignas(64) std::array<std::int16_t, 64> whole;
  InputsWriter writer(shape, x.rows, values, scales, sums);
  for (std::int64_t p = 0; p < shape.pieces(); ++p)
    for (std::int64_t t = 0; t < x.rows; ++t) {
      piece.fill(0);
      const auto* from = x.row(t) + p * shape.step;
      for (std::int64_t j = 0; j < shape.count(p); ++j)
        piece[static_cast<std::size_t>(place[static_cast<std::size_t>(j)])] =
            factor ? from[j] * factor[p * shape.step + j] : from[j];
      const auto most = LargestSize(piece.data(), shape.width);
      const bool any = std::isfinite(most) && most >= kLeast;
      const auto sum = RoundTo16(piece.data(), shape.width, any ? kTop / most : 0.0f, whole.data());
      const float scale = any ? most / kTop : most * 0.0f;  // 0, or NaN
      writer.put(p, t, whole.data(), scale, scale * static_cast<float>(sum));
    }
}

void WidenScales(const std::uint16_t* f16, const std::uint8_t* zeros, int zero, std::int64_t count, float* scales,
                 float* offsets) {
  const hn::CappedTag<float, 16> d;
  const hn::Rebind<hwy::float16_t, decltype(d)> d16;
  const hn::Rebind<std::uint8_t, decltype(d)> d8;
  const hn::RebindToSigned<decltype(d)> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t g = 0; g < count; g += lanes) {
    HWY_ALIGN std::uint16_t f16_tail[16] = {};
    HWY_ALIGN std::uint8_t zeros_tail[16] = {};
    const auto* from = f16 + g;
    const auto* zero_from = zeros ? zeros + g : nullptr;
    if (g + lanes > count) {  // no read beyond the arrays
      std::copy(from, f16 + count, f16_tail), from = f16_tail;
      if (zeros) std::copy(zero_from, zeros + count, zeros_tail), zero_from = zeros_tail;
    }
    const auto scale = hn::PromoteTo(d, hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(from)));
    const auto whole = zeros ? hn::PromoteTo(di, hn::LoadU(d8, zero_from)) : hn::Set(di, zero);
    hn::StoreU(scale, d, scales + g);
    hn::StoreU(hn::Mul(scale, hn::ConvertTo(d, whole)), d, offsets + g);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include <algorithm>
#include <cassert>
#include <cmath>

namespace nearplane {

HWY_EXPORT(PackedDot);
HWY_EXPORT(PackInputs);
HWY_EXPORT(WidenScales);

namespace {

// Largest multiple of 8 that divides `group` and fits a vector loop.
int step_of(std::int64_t group) {
  for (int step = 64; step > 8; step -= 8)
    if (group % step == 0) return step;
  return 8;
}

}  // namespace

int PackedShape::place(int j) const {
  if (form != CodeForm::stream) return j;
  if (bits == 4) return j % 2 * (width / 2) + j / 2;
  if (bits == 2 && width == 64) return j % 4 * 16 + j / 4;
  return j;
}

PackedShape PackedShape::stream(std::int64_t cols, int bits, std::int64_t group) {
  assert(can_pack(cols, group));
  const int step = group >= cols ? 64 : step_of(group);
  return {cols,
          bits,
          CodeForm::stream,
          step,
          step <= 32 ? 32 : 64,
          step * bits / 8,
          0,
          (std::min(group, cols) + step - 1) / step};
}

PackedShape PackedShape::blocks(std::int64_t cols, CodeForm form, int header) {
  assert(cols % 32 == 0 && form != CodeForm::stream);
  const int bits = form == CodeForm::halves ? 4 : 8;
  return {cols, bits, form, 32, 32, header + 4 * bits, header, 1};
}

void pack_inputs(const PackedShape& shape, MatrixView<const float> x, const float* factor, std::int16_t* values,
                 float* scales, float* sums) {
  assert(x.cols == shape.cols && x.rows <= kPackedTokens);
  HWY_DYNAMIC_DISPATCH(PackInputs)(shape, x, factor, values, scales, sums);
}

void packed_dot(const PackedShape& shape, const PackedInputs& in, std::span<const PackedRow> rows, float* sums) {
  HWY_DYNAMIC_DISPATCH(PackedDot)(shape, in, rows, sums);
}

void widen_scales(const std::uint16_t* f16, const std::uint8_t* zeros, int zero, std::int64_t count, float* scales,
                  float* offsets) {
  HWY_DYNAMIC_DISPATCH(WidenScales)(f16, zeros, zero, count, scales, offsets);
}

}  // namespace nearplane

#endif
