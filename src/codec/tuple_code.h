// Prefix codes for tuples of k = 1, 2 or 3 neighbouring levels of a row: one table probe decodes k weights, and the
// table entry is the operand of a dot product. One code ("book") per state of the trellis in which the tuple starts.
//
// A book holds at most 2^bits tuples with codes of at most `bits` bits. A level sequence that is not in it is sent as a
// book tuple that ends in the same state, and its grid points are corrected from a sparse list; which tuples deserve a
// place is decided by the bits that both ways cost. Windows of 256 points: an entry has a byte per point.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "codec/bit_stream.h"
#include "codec/trellis_machine.h"

namespace nearplane {

inline constexpr int kMaxTupleBits = 11;
inline constexpr std::int32_t kMaxTupleLevel = 16383;  // points stay in 16 bits

/// What a correction spends on its place, about; exact where one weight in 1500 is corrected.
inline constexpr int kPlaceBits = 12;

/// Levels of neighbouring weights; places from k on are zero.
using Tuple = std::array<std::int16_t, 3>;

/// How a row is cut: into tuples of k columns from the left, the last one filled up with zeros. The state is 0 at
/// columns that are multiples of `restart`, itself a multiple of k; restart = 0: at the first column only.
struct TupleShape {
  int k = 1;
  Trellis trellis;
  int restart = 0;

  int end_state(int state, const Tuple& tuple) const {
    for (int i = 0; i < k; ++i) state = trellis.next(state, tuple[static_cast<std::size_t>(i)]);
    return state;
  }
  /// Grid points of a tuple that starts in `state`.
  Tuple points(int state, const Tuple& tuple) const;
};

/// Whether a table entry has room for the end state: with k = 3 it has two bits for it.
inline bool fits_table(const TupleShape& shape) { return shape.k < 3 || shape.trellis.states <= 4; }

/// Calls visit(column, state, tuple) for each tuple of a row of levels, each at most kMaxTupleLevel in size.
template <class Visit>
void for_each_tuple(std::span<const std::int32_t> row, const TupleShape& shape, const Visit& visit) {
  int state = 0;
  for (std::size_t column = 0; column < row.size(); column += static_cast<std::size_t>(shape.k)) {
    if (shape.restart > 0 && column % static_cast<std::size_t>(shape.restart) == 0) state = 0;
    Tuple tuple{};
    for (std::size_t i = 0; i < static_cast<std::size_t>(shape.k) && column + i < row.size(); ++i)
      tuple[i] = static_cast<std::int16_t>(row[column + i]);
    visit(column, state, tuple);
    state = shape.end_state(state, tuple);
  }
}

struct TupleCount {
  Tuple tuple;
  std::uint64_t count;
};
/// The tuples of a matrix by the state they start in, ascending; [states].
struct TupleHistogram {
  TupleShape shape;
  std::vector<std::vector<TupleCount>> states;
};
/// Throws Error{unsupported} naming `where` and the place if one of levels [rows, cols] is larger than kMaxTupleLevel.
void check_tuple_levels(std::span<const std::int32_t> levels, std::int64_t cols, const std::string& where);

/// Counts the tuples of levels [rows, cols], which it checks.
TupleHistogram count_tuples(std::span<const std::int32_t> levels, std::int64_t cols, const TupleShape& shape,
                            const std::string& where);

struct TupleWord {
  Tuple tuple, points;
  int end_state;
  std::uint8_t length;
  std::uint16_t code;  // first bit lowest
};

class TupleCode {
 public:
  /// Fitted to a histogram of a shape that fits_table; 4 <= bits <= kMaxTupleBits.
  TupleCode(const TupleHistogram& histogram, int bits);
  /// Throws Error{bad_input} with the offset if the bits of `in` are no code.
  TupleCode(BitReader& in, const TupleShape& shape, int bits);
  void write(BitWriter& out) const;

  const TupleShape& shape() const { return shape_; }
  int bits() const { return bits_; }
  /// Words of a state in canonical order.
  const std::vector<TupleWord>& book(int state) const { return books_[static_cast<std::size_t>(state)]; }
  /// Index in book(state) of the word that stands for `tuple`, not in it, with the fewest bits, corrections counted;
  /// throws Error{bad_input} naming `where` if none ends in the right state (never with a code fitted here).
  std::size_t substitute(int state, const Tuple& tuple, const std::string& where) const;

  /// Bits of the code words of a matrix with this histogram and of the code itself, exactly, and of its corrections, as
  /// estimated by kPlaceBits.
  std::uint64_t total_bits(const TupleHistogram& histogram) const;

  /// The decoding table [states][2^L] of entries, L = table_bits(),
  ///   bits 0-3 length; k = 3: bits 6-7 end state; k <= 2: bits L, L + 1, ... end state; the last k bytes points
  /// with zero_point() added to every point.
  std::vector<std::uint32_t> table() const;
  /// At least 6, so that a length and an end state both have their place in an entry.
  int table_bits() const { return std::max(bits_, 6); }
  int zero_point() const { return zero_point_; }

 private:
  void add_word(std::size_t state, const Tuple& tuple, int length);
  void finish_books();

  TupleShape shape_;
  int bits_;
  int zero_point_ = 0;
  std::vector<std::vector<TupleWord>> books_;
};

/// The code with the largest k = 1, 2 or 3 that spends at most 1 + slack times the fewest bits on the levels
/// [rows, cols], everything counted: larger k decode faster.
TupleCode best_tuple_code(std::span<const std::int32_t> levels, std::int64_t cols, const Trellis& trellis, int restart,
                          int bits, double slack, const std::string& where);

}  // namespace nearplane
