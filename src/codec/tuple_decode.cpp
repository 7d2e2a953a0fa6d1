#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/tuple_decode.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "codec/tuple_core.h"
#include "codec/tuple_decode.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {

constexpr std::int64_t kBatch = 5;  // words of at most 11 bits
constexpr std::size_t kFetch = 8;   // bytes
// Set above the window, it is found again where the words have left it: no length is added up. 56 bits are below it at
// any offset in the first byte.
constexpr std::uint64_t kMark = 1ull << 63;
static_assert(kBatch * 11 <= 56);

// Decodes `count` words of kRows rows: from bits at[] on, to bytes `stride` apart. Side by side they hide the latency
// of each other's probes. All in locals: bytes that are written might be anything the compiler has in memory.
template <int kK, bool kStates, int kRows>
HWY_INLINE void Batch(const TupleCore<kK> core, const std::uint32_t* entries, const std::byte* words,
                      std::uint64_t (&at)[kRows], std::uint32_t (&last)[kRows], std::int64_t count, std::uint8_t* to,
                      std::int64_t stride) {
  std::uint64_t window[kRows];
  std::uint32_t entry[kRows];
  for (int r = 0; r < kRows; ++r) {
    std::memcpy(&window[r], words + at[r] / 8, kFetch);
    window[r] = (window[r] | kMark) >> at[r] % 8;
    entry[r] = last[r];
  }
  for (std::int64_t i = 0; i < count; ++i, to += kK)
    for (int r = 0; r < kRows; ++r) {
      entry[r] = entries[core.place(static_cast<std::uint32_t>(window[r]), kStates ? entry[r] : 0)];
      window[r] >>= core.length(entry[r]);
      const auto points = core.points(entry[r]);
      std::memcpy(to + r * stride, &points, sizeof points);
    }
  for (int r = 0; r < kRows; ++r) {
    at[r] = at[r] / 8 * 8 + static_cast<std::uint64_t>(std::countl_zero(window[r]));
    last[r] = entry[r];
  }
}

// The row whose words run past the end or end elsewhere, kRows if there is none.
template <int kK, bool kStates, int kRows>
int DecodeSome(const TupleTable& table, const std::uint64_t* starts, std::uint8_t* out, std::int64_t stride) {
  const auto core = TupleCore<kK>::of(table.bits, table.states);
  const auto limit = table.words.size() - kFetch;
  const auto run = table.restart > 0 ? table.restart : table.cols;
  std::uint64_t at[kRows];
  std::copy_n(starts, kRows, at);
  for (std::int64_t begin = 0; begin < table.cols; begin += run) {
    std::uint32_t last[kRows] = {};
    auto* to = out + begin;
    for (auto left = (std::min(run, table.cols - begin) + kK - 1) / kK; left > 0; left -= kBatch, to += kBatch * kK) {
      for (int r = 0; r < kRows; ++r)
        if (at[r] / 8 > limit) return r;
      if (left >= kBatch)
        Batch<kK, kStates, kRows>(core, table.entries, table.words.data(), at, last, kBatch, to, stride);
      else
        Batch<kK, kStates, kRows>(core, table.entries, table.words.data(), at, last, left, to, stride);
    }
  }
  for (int r = 0; r < kRows; ++r)
    if (at[r] != starts[r + 1]) return r;
  return kRows;
}

template <int kK, bool kStates>
std::int64_t DecodeAll(const TupleTable& table, const std::uint64_t* starts, std::int64_t rows, std::uint8_t* out,
                       std::int64_t stride) {
  constexpr int kSide = 8;
  std::int64_t r = 0;
  for (; r + kSide <= rows; r += kSide)
    if (const int bad = DecodeSome<kK, kStates, kSide>(table, starts + r, out + r * stride, stride); bad < kSide)
      return r + bad;
  for (; r < rows; ++r)
    if (DecodeSome<kK, kStates, 1>(table, starts + r, out + r * stride, stride) == 0) return r;
  return rows;
}

template <int kK>
std::int64_t DecodeOf(const TupleTable& table, const std::uint64_t* starts, std::int64_t rows, std::uint8_t* out,
                      std::int64_t stride) {
  return table.states > 1 ? DecodeAll<kK, true>(table, starts, rows, out, stride)
                          : DecodeAll<kK, false>(table, starts, rows, out, stride);
}

std::int64_t DecodeTupleRows(const TupleTable& table, const std::uint64_t* starts, std::int64_t rows, std::uint8_t* out,
                             std::int64_t stride) {
  if (table.k == 1) return DecodeOf<1>(table, starts, rows, out, stride);
  if (table.k == 2) return DecodeOf<2>(table, starts, rows, out, stride);
  return DecodeOf<3>(table, starts, rows, out, stride);
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace nearplane {

HWY_EXPORT(DecodeTupleRows);

std::optional<std::int64_t> decode_tuple_rows(const TupleTable& table, const std::uint64_t* starts, std::int64_t rows,
                                              std::uint8_t* out, std::int64_t stride) {
  const auto good = HWY_DYNAMIC_DISPATCH(DecodeTupleRows)(table, starts, rows, out, stride);
  if (good == rows) return std::nullopt;
  return good;
}

}  // namespace nearplane

#endif
