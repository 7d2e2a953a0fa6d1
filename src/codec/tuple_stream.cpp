#include "codec/tuple_stream.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>
#include <optional>

#include "codec/tuple_map.h"

static_assert(std::endian::native == std::endian::little, "windows of bits are read as little-endian words");

namespace nearplane {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 32;
constexpr std::size_t kPadding = 8;  // zeros after the code words: a window of 64 bits may start at their end

// A correction: column, row in its block, points to add.
constexpr std::uint32_t make_correction(std::size_t column, std::int64_t row, int delta) {
  return static_cast<std::uint32_t>(column) | static_cast<std::uint32_t>(row) << 16 |
         static_cast<std::uint32_t>(delta) << 21;
}
constexpr std::size_t column_of(std::uint32_t entry) { return entry & 0xffff; }
constexpr std::int64_t row_of(std::uint32_t entry) { return entry >> 16 & 31; }
constexpr int delta_of(std::uint32_t entry) { return static_cast<std::int32_t>(entry) >> 21; }

class Encoder {
 public:
  Encoder(const TupleCode& code, std::int64_t cols, const std::string& where)
      : code_(code), cols_(static_cast<std::size_t>(cols)), where_(where), words_of_(code.shape()) {}

  void add_block(std::span<const std::int32_t> levels) {
    std::vector<std::uint64_t> lengths;
    const auto corrections = corrections_.size();
    for (std::size_t at = 0; at < levels.size(); at += cols_) {
      const auto start = words_.bits();
      add_row(levels.subspan(at, cols_), static_cast<std::int64_t>(at / cols_));
      lengths.push_back(words_.bits() - start);
    }
    const auto [least, most] = std::minmax_element(lengths.begin(), lengths.end());
    const int width = static_cast<int>(std::bit_width(*most - *least));
    index_.put(*least, 32);
    index_.put(static_cast<std::uint64_t>(width), 5);
    for (const auto length : lengths) index_.put(length - *least, width);
    index_.put_gamma(static_cast<std::uint32_t>(corrections_.size() - corrections) + 1);
  }

  std::vector<std::byte> finish(std::int64_t rows) && {
    BitWriter description;
    code_.write(description);
    const auto table = std::move(description).finish(), index = std::move(index_).finish(),
               words = std::move(words_).finish();
    const auto& shape = code_.shape();
    BitWriter header;
    header.put(kVersion, 8);
    header.put(static_cast<std::uint64_t>(shape.k), 8);
    header.put(static_cast<std::uint64_t>(code_.bits()), 8);
    header.put(static_cast<std::uint64_t>(shape.trellis.states), 8);
    header.put(static_cast<std::uint64_t>(shape.restart), 32);
    for (const auto n : {static_cast<std::size_t>(rows), cols_, table.size(), index.size(), corrections_.size()})
      header.put(n, 32);
    header.put(0, 32);
    auto out = std::move(header).finish();
    const auto append = [&](std::span<const std::byte> part) { out.insert(out.end(), part.begin(), part.end()); };
    append(std::as_bytes(std::span(corrections_)));
    append(table);
    append(index);
    append(words);
    out.resize(out.size() + kPadding);
    return out;
  }

 private:
  void add_row(std::span<const std::int32_t> row, std::int64_t row_in_block) {
    const auto& shape = code_.shape();
    for_each_tuple(row, shape, [&](std::size_t column, int state, const Tuple& tuple) {
      auto& found = words_of_(state, tuple);  // 1 + index of its word
      if (found == 0) found = 1 + code_.substitute(state, tuple, where_);
      const auto& word = code_.book(state)[found - 1];
      words_.put(word.code, word.length);
      if (word.tuple == tuple) return;
      const auto points = shape.points(state, tuple);
      for (std::size_t i = 0; i < points.size() && column + i < cols_; ++i)
        for (int rest = points[i] - word.points[i]; rest != 0;) {
          const int delta = std::clamp(rest, -kMaxCorrection, kMaxCorrection);
          corrections_.push_back(make_correction(column + i, row_in_block, delta));
          rest -= delta;
        }
    });
  }

  const TupleCode& code_;
  std::size_t cols_;
  const std::string& where_;
  TupleMap words_of_;
  BitWriter words_, index_;
  std::vector<std::uint32_t> corrections_;
};

}  // namespace

std::vector<std::byte> encode_tuples(std::span<const std::int32_t> levels, std::int64_t cols, const TupleCode& code,
                                     const std::string& where) {
  assert(cols > 0 && std::ssize(levels) % cols == 0);
  if (cols > kMaxTupleCols) fail_unsupported(where, "{} columns; tuple streams hold up to {}", cols, kMaxTupleCols);
  check_tuple_levels(levels, cols, where);
  Encoder encoder(code, cols, where);
  const auto block = static_cast<std::size_t>(kTupleBlockRows * cols);
  for (std::size_t at = 0; at < levels.size(); at += block)
    encoder.add_block(levels.subspan(at, std::min(block, levels.size() - at)));
  return std::move(encoder).finish(std::ssize(levels) / cols);
}

struct TupleReader::Header {
  TupleShape shape;
  int bits;
  std::int64_t rows, cols;
  std::span<const std::byte> corrections, table, index, words;

  Header(std::span<const std::byte> bytes, const std::string& where) {
    BitReader in(bytes.first(std::min(bytes.size(), kHeaderBytes)), where);
    if (const auto version = in.get(8); version != kVersion)
      fail_unsupported(where, "tuple streams of version {} are not read ({} is)", version, kVersion);
    shape.k = static_cast<int>(in.get(8));
    bits = static_cast<int>(in.get(8));
    const auto states = static_cast<int>(in.get(8));
    const auto restart = in.get(32), m = in.get(32), n = in.get(32), table_size = in.get(32), index_size = in.get(32),
               entries = in.get(32), reserved = in.get(32);
    const auto* trellis = find_trellis(states);
    if (trellis != nullptr) shape.trellis = *trellis;
    if (trellis == nullptr || shape.k < 1 || shape.k > 3 || !fits_table(shape) || bits < 4 || bits > kMaxTupleBits)
      fail_input(where, "a tuple code with k = {}, {} bits, {} states", shape.k, bits, states);
    if (m < 1 || n < 1 || n > kMaxTupleCols || restart > kMaxTupleCols ||
        restart % static_cast<unsigned>(shape.k) != 0 || reserved != 0)
      fail_input(where, "a tuple stream of {} x {}, restart {}, reserved {}", m, n, restart, reserved);
    shape.restart = static_cast<int>(restart), rows = m, cols = n;
    auto rest = bytes.subspan(kHeaderBytes);
    const auto take = [&](std::uint64_t count) {
      if (count > rest.size())
        fail_input(where, "needs {} bytes at {}, only {} are left", count, bytes.size() - rest.size(), rest.size());
      const auto part = rest.first(count);
      rest = rest.subspan(count);
      return part;
    };
    corrections = take(std::uint64_t{4} * entries), table = take(table_size), index = take(index_size);
    words = rest;
  }
};

namespace {

// A window of 64 bits read at an offset below 8 in its first byte holds 57 bits: five words of kMaxTupleBits.
constexpr std::int64_t kBatch = 5;
static_assert(kBatch * kMaxTupleBits <= 57);

template <int kK>
class Probe {
 public:
  Probe(const TupleCode& code, const std::uint32_t* table, const std::byte* words)
      : table_(table),
        words_(words),
        bits_(code.bits()),
        zero_point_(code.zero_point()),
        window_mask_((1u << bits_) - 1),
        state_mask_(static_cast<std::uint32_t>(code.shape().trellis.states - 1)) {}

  // Decodes kBatch words from bit `at` on, or those of the `left` columns that a run still has.
  template <bool kWhole>
  void batch(std::uint64_t& at, std::uint32_t& state, std::int64_t left, std::int16_t* to) const {
    std::uint64_t window;
    std::memcpy(&window, words_ + at / 8, 8);
    window >>= at % 8;
    for (std::int64_t i = 0; kWhole ? i < kBatch : i * kK < left; ++i) {
      const auto entry = table_[(static_cast<std::uint32_t>(window) & window_mask_) | state << bits_];
      window >>= entry & 31;
      at += entry & 31;
      state = entry >> (kK == 3 ? 6 : 8) & state_mask_;
      for (int j = 0; j < kK; ++j)
        if (kWhole || i * kK + j < left)
          to[i * kK + j] =
              static_cast<std::int16_t>(static_cast<int>(entry >> (32 - 8 * (kK - j)) & 255) - zero_point_);
    }
  }

 private:
  const std::uint32_t* table_;
  const std::byte* words_;
  int bits_, zero_point_;
  std::uint32_t window_mask_, state_mask_;
};

TupleCode read_code(std::span<const std::byte> bytes, const TupleShape& shape, int bits, const std::string& where) {
  BitReader in(bytes, where + ": tuple code");
  TupleCode code(in, shape, bits);
  in.finish();
  return code;
}

}  // namespace

TupleReader::TupleReader(std::span<const std::byte> bytes, std::string where)
    : TupleReader(bytes, where, Header(bytes, where)) {}

TupleReader::TupleReader(std::span<const std::byte>, std::string where, const Header& header)
    : where_(std::move(where)),
      rows_(header.rows),
      cols_(header.cols),
      code_(read_code(header.table, header.shape, header.bits, where_)),
      table_(code_.table()),
      words_(header.words),
      corrections_(header.corrections.size() / 4) {
  if (!corrections_.empty()) std::memcpy(corrections_.data(), header.corrections.data(), header.corrections.size());
  read_index(header.index);
}

void TupleReader::read_index(std::span<const std::byte> bytes) {
  BitReader in(bytes, where_ + ": index");
  row_starts_.push_back(0);
  correction_starts_.push_back(0);
  for (std::int64_t row = 0; row < rows_; row += kTupleBlockRows) {
    const auto count = std::min(kTupleBlockRows, rows_ - row);
    const std::uint64_t least = in.get(32);
    const auto width = static_cast<int>(in.get(5));
    for (std::int64_t r = 0; r < count; ++r) row_starts_.push_back(row_starts_.back() + least + in.get(width));
    if (row_starts_.back() > 8 * words_.size())
      fail_input(in.where(), "row {} ends at bit {} of {}", row + count - 1, row_starts_.back(), 8 * words_.size());
    const auto start = correction_starts_.back(), end = start + in.get_gamma() - 1;
    if (end > corrections_.size())
      fail_input(in.where(), "corrections to {} of {} in rows from {}", end, corrections_.size(), row);
    for (auto i = start; i < end; ++i)
      if (row_of(corrections_[i]) >= count || static_cast<std::int64_t>(column_of(corrections_[i])) >= cols_)
        fail_input(where_, "correction {} is of row {}, column {}", i, row + row_of(corrections_[i]),
                   column_of(corrections_[i]));
    correction_starts_.push_back(end);
  }
  in.finish();
  if (correction_starts_.back() != corrections_.size())
    fail_input(where_, "the index counts {} of {} corrections", correction_starts_.back(), corrections_.size());
  if (words_.size() < kPadding || (row_starts_.back() + 7) / 8 != words_.size() - kPadding)
    fail_input(where_, "{} bits of code words in {} bytes", row_starts_.back(), words_.size());
}

void TupleReader::decode(std::int64_t first, std::int64_t count, std::int16_t* out) const {
  assert(first >= 0 && count >= 0 && first + count <= rows_);
  if (code_.shape().k == 1) decode_rows<1>(first, count, out);
  if (code_.shape().k == 2) decode_rows<2>(first, count, out);
  if (code_.shape().k == 3) decode_rows<3>(first, count, out);
  correct(first, count, out);
}

template <int kK>
void TupleReader::decode_rows(std::int64_t first, std::int64_t count, std::int16_t* out) const {
  std::int64_t r = 0;
  for (; r + 4 <= count; r += 4) decode_together<kK, 4>(first + r, out + r * cols_);
  for (; r < count; ++r) decode_together<kK, 1>(first + r, out + r * cols_);
}

// Rows side by side hide the latency of each other's probes. A run ends where the state returns to 0.
template <int kK, int kRows>
void TupleReader::decode_together(std::int64_t first, std::int16_t* out) const {
  const Probe<kK> probe(code_, table_.data(), words_.data());
  const auto limit = words_.size() - kPadding;
  const auto run = code_.shape().restart > 0 ? code_.shape().restart : cols_;
  std::uint64_t at[kRows];
  for (int r = 0; r < kRows; ++r) at[r] = row_starts_[static_cast<std::size_t>(first + r)];
  for (std::int64_t begin = 0; begin < cols_; begin += run) {
    const auto end = std::min(cols_, begin + run);
    std::uint32_t state[kRows] = {};
    for (auto column = begin; column < end; column += kBatch * kK)
      for (int r = 0; r < kRows; ++r) {
        if (at[r] / 8 > limit) fail_input(where_, "the code words of row {} run past the end", first + r);
        const auto left = end - column;
        auto* to = out + r * cols_ + column;
        if (left >= kBatch * kK)
          probe.template batch<true>(at[r], state[r], left, to);
        else
          probe.template batch<false>(at[r], state[r], left, to);
      }
  }
  for (int r = 0; r < kRows; ++r)
    if (const auto end = row_starts_[static_cast<std::size_t>(first + r + 1)]; at[r] != end)
      fail_input(where_, "the code words of row {} end at bit {} instead of {}", first + r, at[r], end);
}

void TupleReader::correct(std::int64_t first, std::int64_t count, std::int16_t* out) const {
  for (auto block = first / kTupleBlockRows; block * kTupleBlockRows < first + count; ++block)
    for (auto i = correction_starts_[static_cast<std::size_t>(block)];
         i < correction_starts_[static_cast<std::size_t>(block + 1)]; ++i) {
      const auto entry = corrections_[i];
      const auto row = block * kTupleBlockRows + row_of(entry) - first;
      if (row < 0 || row >= count) continue;
      auto& point = out[row * cols_ + static_cast<std::int64_t>(column_of(entry))];
      const int sum = point + delta_of(entry);
      if (sum < INT16_MIN || sum > INT16_MAX) fail_input(where_, "correction {} leads to point {}", i, sum);
      point = static_cast<std::int16_t>(sum);
    }
}

}  // namespace nearplane
