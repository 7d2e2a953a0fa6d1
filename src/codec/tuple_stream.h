// A matrix of levels as tuple code words: each row is one run of bits, rows follow each other without padding, blocks
// of 32 rows share an index of starts and a list of corrections. docs/formats/streams.md has the bytes. Cost: a probe
// per tuple to decode, four rows at a time to hide its latency; about 8 bits per row for the index.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "codec/tuple_code.h"
#include "codec/tuple_decode.h"

namespace nearplane {

inline constexpr std::int64_t kTupleBlockRows = 32;
inline constexpr std::int64_t kMaxTupleCols = 65536;

/// The stream of levels [rows, cols]; throws Error{unsupported} naming `where` if cols is above kMaxTupleCols or a
/// level beyond kMaxTupleLevel, Error{bad_input} if `code` cannot say it.
std::vector<std::byte> encode_tuples(std::span<const std::int32_t> levels, std::int64_t cols, const TupleCode& code,
                                     const std::string& where);

/// What to add to a decoded grid point.
struct Correction {
  std::int64_t place;  // row * cols + column
  std::int32_t delta;
};

/// Corrections of a matrix, found by their rows.
class RowCorrections {
 public:
  /// Of a matrix with rows of `cols`; call by ascending place, then finish().
  void add(const Correction& correction, std::int64_t cols) {
    starts_.resize(static_cast<std::size_t>(correction.place / cols + 1), all_.size());
    all_.push_back(correction);
  }
  void finish(std::int64_t rows) { starts_.resize(static_cast<std::size_t>(rows + 1), all_.size()); }
  std::int64_t size() const { return static_cast<std::int64_t>(all_.size()); }
  /// Those of rows [first, first + count).
  std::span<const Correction> rows(std::int64_t first, std::int64_t count) const {
    const auto begin = starts_[static_cast<std::size_t>(first)];
    return std::span(all_).subspan(begin, starts_[static_cast<std::size_t>(first + count)] - begin);
  }

 private:
  std::vector<Correction> all_;      // by place
  std::vector<std::size_t> starts_;  // [rows + 1], first of each row
};

/// A view of a stream that decodes any rows. Never reads outside `bytes`, which it refers to.
class TupleReader {
 public:
  /// Checks everything but the code words; throws Error{bad_input} naming `where` and the offset, Error{unsupported}
  /// for other versions.
  TupleReader(std::span<const std::byte> bytes, std::string where);

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  const TupleCode& code() const { return code_; }
  /// Corrected weights.
  std::int64_t correction_count() const { return corrections_.size(); }

  /// Grid points of rows [first, first + count) to out [count, cols]; throws Error{bad_input} naming the row if its
  /// code words do not fill it exactly.
  void decode(std::int64_t first, std::int64_t count, std::int16_t* out) const;
  /// The same as bytes, uncorrected and with code().zero_point() added, row after row `stride` bytes apart; stride is
  /// at least cols() + 5, and what lies behind the columns of a row is overwritten.
  void decode_bytes(std::int64_t first, std::int64_t count, std::uint8_t* out, std::int64_t stride) const;
  /// What loops over code words need; refers to this.
  TupleTable table() const;
  /// Where rows [first, ...) begin in its words, and the last one ends: bits.
  const std::uint64_t* row_starts(std::int64_t first) const { return row_starts_.data() + first; }
  /// That the code words of a row do not fill it: Error{bad_input}.
  [[noreturn]] void fail_row(std::int64_t row) const;
  /// Those of rows [first, first + count), by place.
  std::span<const Correction> corrections(std::int64_t first, std::int64_t count) const {
    return corrections_.rows(first, count);
  }

 private:
  struct Header;
  TupleReader(std::span<const std::byte> bytes, std::string where, const Header& header);
  void read_index(std::span<const std::byte> bytes);
  void read_corrections(BitReader& in, int rice, std::int64_t first, std::int64_t end);
  void correct(std::int64_t first, std::int64_t count, std::int16_t* out) const;

  std::string where_;
  std::int64_t rows_, cols_;
  TupleCode code_;
  std::vector<std::uint32_t> table_;
  std::span<const std::byte> words_;       // code words, then 8 bytes of zeros
  std::vector<std::uint64_t> row_starts_;  // [rows + 1], bits into words_
  RowCorrections corrections_;
};

}  // namespace nearplane
