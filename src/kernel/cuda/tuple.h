// Products with entropy-coded grid points, one token: words of tuples of k = 1, 2 or 3 points, decoded by one probe of
// a table each, whose entry is the operand of a byte dot product (codec/tuple_core.h). Trellis states are part of the
// table.
// Problem: y[r] = step[r] sum over j of (point[r, j] + what the list says) x[j]; steps of columns are in x.
// Layout: docs/kernels-gpu.md. A lane decodes a substream: one row, `columns` columns, a fixed number of tuples, so
// that lanes stay together and nothing is searched. The table stands in shared memory once for each bank where it fits.
// Whatever the bytes are, no read leaves the chunk.
#pragma once

#include "codec/tuple_core.h"
#include "kernel/cuda/rows.h"

namespace nearplane::cuda {

inline constexpr int kChunkRows = 8, kChunkQuarters = 4, kHeaderLines = 3;
inline constexpr int kGroupTuples = 3;    // decoded between two looks at the position,
inline constexpr int kMostWordBits = 10;  //   which is below 32 before and so below 62 after them

struct TupleMatrix {
  int rows, cols, k;
  int columns, groups, chunks;  // of a substream; of three tuples in it; in a row, of four substreams side by side
  int table_bits, states, zero_point;
  int copies_log;               // the table stands 2^copies_log times in shared memory
  int chunk_lines;              // of the longest chunk
  const std::uint32_t* table;   // [states][2^table_bits]
  const std::uint32_t* starts;  // [row groups of 8][chunks], then the end: lines
  const Line* data;
  RowExtras extras;

  NEARPLANE_HOST_DEVICE int row_blocks() const { return (rows + kBlockRows - 1) / kBlockRows; }
  NEARPLANE_HOST_DEVICE int row_groups() const { return (rows + kChunkRows - 1) / kChunkRows; }
  NEARPLANE_HOST_DEVICE int table_words() const { return states << table_bits << copies_log; }
  NEARPLANE_HOST_DEVICE int shared_bytes(int warps) const {
    return table_words() * 4 + warps * chunk_lines * 16 + part_bytes(chunks, 1);
  }
  PieceShape piece_shape() const { return {cols, columns, chunks * kChunkQuarters, groups * 4, k}; }
};

/// Sets the number of copies of the table, and returns the number of warps of a block, so that shared memory of `bytes`
/// bytes holds both: at best 32 copies and 32 warps, then fewer copies down to 4, then fewer warps. 0: nothing fits.
inline int fit_shared(TupleMatrix& w, int bytes) {
  for (int warps = 32; warps >= 4; warps /= 2)
    for (w.copies_log = 5; w.copies_log >= (warps > 4 ? 2 : 0); --w.copies_log)
      if (w.shared_bytes(warps) <= bytes) return warps;
  return 0;
}

/// A substream: from bit `start` of words[0 ... last] on, with the word before them readable. `table`: of the copies
/// side by side, that of a lane.
struct Substream {
  const std::uint32_t *table, *words;
  std::uint32_t last, start;
};

/// Calls use(group, entries[3]) for the groups of a substream. The window begins so far before the next word that its
/// bits are where an offset into the table has them: a probe is one shift, one mask, one read.
template <int kK, bool kStates, class Use>
NEARPLANE_HOST_DEVICE void decode_substream(const TupleMatrix& w, int groups, const Substream& in, const Use& use) {
  const int scale = w.copies_log + 2;
  const auto core = TupleCore<kK>::of(w.table_bits, w.states, scale);
  const auto probe = [&](std::uint32_t window, std::uint32_t before) {
    return at_byte(in.table, core.place(window, kStates ? before : 0));
  };
  const auto* words = in.words - 1;
  const std::uint32_t last = 4 * in.last + 4;
  std::uint32_t at = in.start + 32 - static_cast<std::uint32_t>(scale), next = at / 32 * 4, entry = 0;
  const auto fetch = [&] {
    const auto word = at_byte(words, next);
    next = next + 4 < last ? next + 4 : last;
    return word;
  };
  next = next < last ? next : last;
  at %= 32;
  std::uint32_t a = fetch(), b = fetch(), c = fetch();
  NEARPLANE_UNROLL
  for (int group = 0; group < groups; ++group) {
    const auto low = funnel(a, b, at), high = funnel(b, c, at);
    std::uint32_t entries[kGroupTuples];
    entries[0] = probe(low, entry);
    entries[1] = probe(funnel(low, high, entries[0]), entries[0]);
    entries[2] = probe(funnel(low, high, entries[0] + entries[1]), entries[1]);
    entry = entries[2];
    use(group, entries);
    // Bits 0 to 4 of an entry are its length, bit 5 is zero: the sums are right in bits 0 to 5.
    at += entries[0] + entries[1] + entries[2];
    if (at & 32) {
      a = b, b = c;
      c = fetch();
    }
    at &= 31;
  }
}

/// The product of one substream, exact.
template <int kK, bool kStates>
NEARPLANE_HOST_DEVICE std::int32_t substream_product(const TupleMatrix& w, int groups, const Substream& codes,
                                                     const Inputs& in, int piece) {
  const auto* high = reinterpret_cast<const Line*>(in.high) + static_cast<std::int64_t>(piece) * w.groups;
  const auto* low = reinterpret_cast<const Line*>(in.low) + static_cast<std::int64_t>(piece) * w.groups;
  std::int32_t high_sum = 0, low_sum = 0;
  decode_substream<kK, kStates>(w, groups, codes, [&](int group, const std::uint32_t* entries) {
    const Line h = read_often(high + group), l = read_often(low + group);
    for (int i = 0; i < kGroupTuples; ++i) {
      high_sum = dot4(entries[i], h.word[i], high_sum);
      low_sum = dot4(entries[i], l.word[i], low_sum);
    }
  });
  return kPlane * high_sum + low_sum - w.zero_point * in.sums[piece];
}

/// Copies the table of every lane beside each other: lanes of a probe meet in a bank only if there are fewer than 32.
template <class Block>
NEARPLANE_HOST_DEVICE void spread_table(Block& block, const TupleMatrix& w, std::uint32_t* table) {
  using Warp = typename Block::Warp;
  block.each_warp([&](Warp& warp, int index) {
    warp.each([&](int lane) {
      for (int i = index * kLanes + lane; i < w.table_words(); i += block.warps() * kLanes)
        table[i] = w.table[i >> w.copies_log];
    });
  });
}

/// Brings a chunk to shared memory and calls use(lane, substream) for each lane; `table` as spread_table() left it.
template <class Warp, class Use>
NEARPLANE_HOST_DEVICE void open_chunk(Warp& warp, const TupleMatrix& w, std::int64_t chunk, const std::uint32_t* table,
                                      Line* staging, const Use& use) {
  const auto begin = w.starts[chunk];
  const int lines = static_cast<int>(w.starts[chunk + 1] - begin);
  warp.each([&](int lane) {
    NEARPLANE_UNROLL
    for (int i = lane; i < lines; i += kLanes) staging[i] = read_once(w.data + begin + i);
  });
  warp.sync();
  typename Warp::template PerLane<std::uint32_t> end, size;
  warp.each([&](int lane) {
    const auto* header = reinterpret_cast<const std::uint8_t*>(staging);
    size[lane] = end[lane] = header[0] + 256u * header[1] + header[2 + lane];
  });
  warp.prefix_sum(end);
  warp.each([&](int lane) {
    use(lane, Substream{table + (lane & ((1 << w.copies_log) - 1)),
                        reinterpret_cast<const std::uint32_t*>(staging + kHeaderLines),
                        static_cast<std::uint32_t>((lines - kHeaderLines) * 4 - 1), end[lane] - size[lane]});
  });
  warp.sync();
}

/// One token: blocks take 32 rows after 32 rows, their warps chunks of 8 rows. Shared: shared_bytes(warps).
template <int kK, bool kStates, class Block>
NEARPLANE_HOST_DEVICE void tuple_gemv(Block& block, const TupleMatrix& w, const Inputs& in, float* y) {
  using Warp = typename Block::Warp;
  auto* table = reinterpret_cast<std::uint32_t*>(block.shared());
  auto* staging = reinterpret_cast<Line*>(table + w.table_words());
  auto* parts = reinterpret_cast<float*>(staging + block.warps() * w.chunk_lines);
  spread_table(block, w, table);
  NEARPLANE_KEEP_LOOP
  for (int row_block = block.index(); row_block < w.row_blocks(); row_block += block.count()) {
    block.each_warp([&](Warp& warp, int index) {
      constexpr int kGroups = kBlockRows / kChunkRows;
      NEARPLANE_KEEP_LOOP
      for (int item = index; item < kGroups * w.chunks; item += block.warps()) {
        const int row_group = row_block * kGroups + item % kGroups, chunk = item / kGroups;
        if (row_group >= w.row_groups()) continue;
        typename Warp::template PerLane<float> sum;
        open_chunk(warp, w, static_cast<std::int64_t>(row_group) * w.chunks + chunk, table,
                   staging + index * w.chunk_lines, [&](int lane, const Substream& codes) {
                     const int piece = chunk * kChunkQuarters + lane % kChunkQuarters;
                     sum[lane] = in.scales[piece] *
                                 static_cast<float>(substream_product<kK, kStates>(w, w.groups, codes, in, piece));
                   });
        for (int mask = 1; mask < kChunkQuarters; mask *= 2) warp.add_across(sum, mask);
        warp.each([&](int lane) {
          if (lane % kChunkQuarters == 0)
            parts[chunk * kBlockRows + item % kGroups * kChunkRows + lane / kChunkQuarters] = sum[lane];
        });
      }
    });
    finish_rows(block, w.extras, in, w.rows, w.cols, row_block * kBlockRows, parts, w.chunks, y,
                [](int, int) { return 1.0f; });
  }
}

}  // namespace nearplane::cuda
