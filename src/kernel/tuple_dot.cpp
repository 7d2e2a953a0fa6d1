#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/tuple_dot.cpp"
#define HWY_WANT_AVX3_DL
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "codec/tuple_core.h"
#include "kernel/packed_dot.h"
#include "kernel/tuple_dot.h"

#ifndef NEARPLANE_KERNEL_TUPLE_DOT_ONCE
#define NEARPLANE_KERNEL_TUPLE_DOT_ONCE

namespace nearplane {

// Tuples between two refills of the windows, of at most 11 bits: 56 bits are there at any offset in the first byte.
constexpr std::int64_t kTupleBatch = 5;
constexpr std::int64_t kTuplePiece = 4 * kTupleBatch;

}  // namespace nearplane

#endif

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX3_DL

HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")  // which the target has, and this version of Highway forgets

bool HasTupleDot() { return true; }

// kGroups times sixteen rows, each group from its own byte on; lanes beyond the last row repeat it.
template <int kK, bool kStates, int kGroups>
class TupleRows {
 public:
  TupleRows(const TupleTable& table, const std::uint64_t* starts, std::int64_t rows) : table_(table) {
    for (int g = 0; g < kGroups; ++g) {
      const auto base = starts[std::min<std::int64_t>(16 * g, rows - 1)] / 8;
      alignas(64) std::uint32_t at[16], end[16];
      for (std::int64_t lane = 0; lane < 16; ++lane) {
        const auto r = std::min<std::int64_t>(16 * g + lane, rows - 1);
        at[lane] = static_cast<std::uint32_t>(starts[r] - 8 * base);
        end[lane] = static_cast<std::uint32_t>(starts[r + 1] - 8 * base);
      }
      words_[g] = table.words.data() + base;
      limit_[g] = static_cast<std::uint32_t>(std::min<std::uint64_t>(table.words.size() - 8 - base, UINT32_MAX / 8));
      at_[g] = _mm512_load_si512(at), end_[g] = _mm512_load_si512(end);
      sum_[g] = _mm512_setzero_ps();
    }
  }

  HWY_INLINE void Restart() {
    for (auto& last : last_) last = _mm512_setzero_si512();
  }

  // Tuples [i, i + count) of one scale. False if words run past the end.
  HWY_INLINE bool Piece(const TupleInputs& in, std::int64_t i, std::int64_t count, std::size_t piece) {
    __m512i high[kGroups], low[kGroups];
    for (int g = 0; g < kGroups; ++g) {
      high[g] = _mm512_set1_epi32(in.high_zero[piece]);
      low[g] = _mm512_set1_epi32(in.low_zero[piece]);
    }
    for (; count >= kTupleBatch; count -= kTupleBatch, i += kTupleBatch)
      if (!Batch(in, i, kTupleBatch, high, low)) return false;
    if (count > 0 && !Batch(in, i, count, high, low)) return false;
    const auto scale = _mm512_set1_ps(in.scales[piece]);
    for (int g = 0; g < kGroups; ++g) {
      const auto whole = _mm512_add_epi32(_mm512_slli_epi32(high[g], 8), low[g]);
      sum_[g] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), scale, sum_[g]);
    }
    return true;
  }

  // The first row that does not end where it should, 16 kGroups if there is none.
  int Unfinished() const {
    for (int g = 0; g < kGroups; ++g)
      if (const auto bad = _mm512_cmpneq_epi32_mask(at_[g], end_[g]); bad != 0)
        return 16 * g + __builtin_ctz(static_cast<unsigned>(bad));
    return 16 * kGroups;
  }
  // Where the words that run past the end are.
  int Overrun() const {
    for (int g = 0; g < kGroups; ++g)
      if (const auto bad = Beyond(g); bad != 0) return 16 * g + __builtin_ctz(static_cast<unsigned>(bad));
    return 0;
  }
  void Store(std::int64_t rows, float* sums) const {
    alignas(64) float all[kGroups][16];
    for (int g = 0; g < kGroups; ++g) _mm512_store_ps(all[g], sum_[g]);
    std::copy_n(&all[0][0], rows, sums);
  }

 private:
  HWY_INLINE __mmask16 Beyond(int g) const {
    return _mm512_cmpgt_epu32_mask(_mm512_srli_epi32(at_[g], 3), _mm512_set1_epi32(static_cast<int>(limit_[g])));
  }

  HWY_INLINE bool Batch(const TupleInputs& in, std::int64_t i, std::int64_t count, __m512i (&high)[kGroups],
                        __m512i (&low)[kGroups]) {
    const auto even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const auto odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    const auto zero = _mm512_setzero_si512();
    __m512i w0[kGroups], w1[kGroups], total[kGroups];
    for (int g = 0; g < kGroups; ++g) {
      if (Beyond(g) != 0) return false;
      const auto bytes = _mm512_srli_epi32(at_[g], 3), shift = _mm512_and_si512(at_[g], _mm512_set1_epi32(7));
      const auto a = _mm512_i32gather_epi64(_mm512_castsi512_si256(bytes), words_[g], 1);
      const auto b = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(bytes, 1), words_[g], 1);
      const auto second = _mm512_permutex2var_epi32(a, odd, b);
      w0[g] = _mm512_shrdv_epi32(_mm512_permutex2var_epi32(a, even, b), second, shift);
      w1[g] = _mm512_srlv_epi32(second, shift);
      total[g] = zero;
    }
    const auto window = _mm512_set1_epi32((1 << table_.bits) - 1);
    const auto place = _mm512_set1_epi32((table_.states << table_.bits) - 1);
    for (std::int64_t n = 0; n < count; ++n, ++i) {
      const auto x_high = _mm512_set1_epi32(in.high[static_cast<std::size_t>(i)]);
      const auto x_low = _mm512_set1_epi32(in.low[static_cast<std::size_t>(i)]);
      for (int g = 0; g < kGroups; ++g) {
        auto at = w0[g];
        if constexpr (kStates) {
          const auto state = kK == 3
                                 ? _mm512_slli_epi32(_mm512_srli_epi32(last_[g], 6), static_cast<unsigned>(table_.bits))
                                 : last_[g];
          at = _mm512_ternarylogic_epi32(window, at, state, 0xca);  // bits of the window, above them the state
        }
        const auto entry = _mm512_i32gather_epi32(_mm512_and_si512(at, place), table_.entries, 4);
        high[g] = _mm512_dpbusd_epi32(high[g], entry, x_high);
        low[g] = _mm512_dpbusd_epi32(low[g], entry, x_low);
        w0[g] = _mm512_shrdv_epi32(w0[g], w1[g], entry);  // by the length: the lowest five bits
        w1[g] = _mm512_shrdv_epi32(w1[g], zero, entry);
        total[g] = _mm512_add_epi32(total[g], entry);
        if constexpr (kStates) last_[g] = entry;
      }
    }
    // The lowest six bits of the total are those of the lengths.
    for (int g = 0; g < kGroups; ++g)
      at_[g] = _mm512_add_epi32(at_[g], _mm512_and_si512(total[g], _mm512_set1_epi32(63)));
    return true;
  }

  const TupleTable& table_;
  const std::byte* words_[kGroups];
  std::uint32_t limit_[kGroups];  // the last byte of words a window may begin at
  __m512i at_[kGroups], end_[kGroups], last_[kGroups];
  __m512 sum_[kGroups];
};

template <int kK, bool kStates, int kGroups>
std::optional<std::int64_t> DotSome(const TupleTable& table, const std::uint64_t* starts, std::int64_t rows,
                                    const TupleInputs& in, float* sums) {
  TupleRows<kK, kStates, kGroups> all(table, starts, rows);
  const auto run = table.restart > 0 ? table.restart : table.cols;
  std::int64_t i = 0;
  std::size_t piece = 0;
  for (std::int64_t begin = 0; begin < table.cols; begin += run) {
    all.Restart();
    for (auto left = (std::min(run, table.cols - begin) + kK - 1) / kK; left > 0;) {
      const auto count = std::min(kTuplePiece, left);
      if (!all.Piece(in, i, count, piece++)) return std::min<std::int64_t>(all.Overrun(), rows - 1);
      i += count, left -= count;
    }
  }
  if (const int bad = all.Unfinished(); bad < rows) return bad;
  all.Store(rows, sums);
  return std::nullopt;
}

template <int kK, bool kStates>
std::optional<std::int64_t> DotAll(const TupleTable& table, const std::uint64_t* starts, std::int64_t rows,
                                   const TupleInputs& in, float* sums) {
  constexpr int kSide = 4;
  for (std::int64_t r = 0; r < rows;) {
    const bool many = rows - r > 16;
    const auto count = std::min<std::int64_t>(rows - r, many ? 16 * kSide : 16);
    const auto bad = many ? DotSome<kK, kStates, kSide>(table, starts + r, count, in, sums + r)
                          : DotSome<kK, kStates, 1>(table, starts + r, count, in, sums + r);
    if (bad) return r + *bad;
    r += count;
  }
  return std::nullopt;
}

std::optional<std::int64_t> TupleDot(const TupleTable& table, const std::uint64_t* starts, std::int64_t rows,
                                     const TupleInputs& in, float* sums) {
  const bool states = table.states > 1;
  const auto dot = table.k == 1   ? (states ? DotAll<1, true> : DotAll<1, false>)
                   : table.k == 2 ? (states ? DotAll<2, true> : DotAll<2, false>)
                                  : (states ? DotAll<3, true> : DotAll<3, false>);
  return dot(table, starts, rows, in, sums);
}

HWY_POP_ATTRIBUTES

#else

bool HasTupleDot() { return false; }

std::optional<std::int64_t> TupleDot(const TupleTable&, const std::uint64_t*, std::int64_t, const TupleInputs&,
                                     float*) {
  return 0;
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace nearplane {

HWY_EXPORT(HasTupleDot);
HWY_EXPORT(TupleDot);

bool has_tuple_dot() { return HWY_DYNAMIC_DISPATCH(HasTupleDot)(); }

void pack_tuple_inputs(const TupleTable& table, const float* x, const float* factor, int zero, TupleInputs& out) {
  out.high.clear(), out.low.clear(), out.scales.clear(), out.high_zero.clear(), out.low_zero.clear();
  const auto run = table.restart > 0 ? table.restart : table.cols;
  for (std::int64_t begin = 0; begin < table.cols; begin += run) {
    const auto end = std::min(begin + run, table.cols);
    for (auto c0 = begin; c0 < end; c0 += kTuplePiece * table.k) {
      const auto c1 = std::min(end, c0 + kTuplePiece * table.k);
      float values[3 * kTuplePiece], most = 0, poison = 0;
      for (auto c = c0; c < c1; ++c) {
        const float v = factor ? x[c] * factor[c] : x[c];
        values[c - c0] = v, most = std::max(most, std::abs(v)), poison += v - v;  // NaN where v is not finite
      }
      const bool any = most >= 0x1p-100f;
      const float inverse = any && !std::isnan(poison) ? kPackedTop / most : 0.0f;
      std::int32_t high_sum = 0, low_sum = 0;
      for (auto c = c0; c < c1; c += table.k) {
        std::uint8_t high[4] = {}, low[4] = {};
        for (int j = 0; j < table.k && c + j < c1; ++j) {
          const auto whole = static_cast<std::int32_t>(std::nearbyint(values[c + j - c0] * inverse));
          const auto up = (whole + 128) >> 8, down = whole - 256 * up;
          high[4 - table.k + j] = static_cast<std::uint8_t>(up), low[4 - table.k + j] = static_cast<std::uint8_t>(down);
          high_sum += up, low_sum += down;
        }
        std::int32_t quad = 0;
        std::memcpy(&quad, high, 4), out.high.push_back(quad);
        std::memcpy(&quad, low, 4), out.low.push_back(quad);
      }
      out.scales.push_back(any ? most / kPackedTop + poison : poison);
      out.high_zero.push_back(-zero * high_sum), out.low_zero.push_back(-zero * low_sum);
    }
  }
}

std::optional<std::int64_t> tuple_dot(const TupleTable& table, const std::uint64_t* starts, std::int64_t rows,
                                      const TupleInputs& in, float* sums) {
  return HWY_DYNAMIC_DISPATCH(TupleDot)(table, starts, rows, in, sums);
}

}  // namespace nearplane

#endif
