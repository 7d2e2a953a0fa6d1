#include "codec/tuple_stream.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "codec/tuple_map.h"

static_assert(std::endian::native == std::endian::little, "windows of bits are read as little-endian words");

namespace nearplane {
namespace {

constexpr int kVersion = 1;
constexpr std::size_t kHeaderBytes = 24;
constexpr int kMaxRice = 21;         // gaps stay below 2^21, the places of a block
constexpr std::size_t kPadding = 8;  // zeros after the code words: a window of 64 bits may start at their end

class Encoder {
 public:
  Encoder(const TupleCode& code, std::int64_t cols, const std::string& where)
      : code_(code), cols_(cols), words_of_(code, where) {}

  void add_row(std::span<const std::int32_t> row) {
    const auto start = words_.bits();
    const auto first_place = std::ssize(lengths_) * cols_;
    for_each_tuple(row, code_.shape(), [&](std::size_t column, int state, const Tuple& tuple) {
      const auto& word = words_of_(state, tuple);
      words_.put(word.code, word.length);
      if (word.tuple == tuple) return;
      const auto points = code_.shape().points(state, tuple);
      for (std::size_t i = 0; i < points.size() && column + i < row.size(); ++i)
        if (const int delta = points[i] - word.points[i]; delta != 0)
          corrections_.push_back({first_place + static_cast<std::int64_t>(column + i), delta});
    });
    lengths_.push_back(words_.bits() - start);
  }

  std::vector<std::byte> finish() && {
    BitWriter description;
    code_.write(description);
    const auto table = std::move(description).finish(), index = make_index(), words = std::move(words_).finish();
    const auto& shape = code_.shape();
    BitWriter header;
    for (const auto n : {kVersion, shape.k, code_.bits(), shape.trellis.states})
      header.put(static_cast<std::uint64_t>(n), 8);
    for (const auto n :
         {std::int64_t{shape.restart}, std::ssize(lengths_), cols_, std::ssize(table), std::ssize(index)})
      header.put(static_cast<std::uint64_t>(n), 32);
    auto out = std::move(header).finish();
    for (const auto& part : {table, index, words}) out.insert(out.end(), part.begin(), part.end());
    out.resize(out.size() + kPadding);
    return out;
  }

 private:
  // Rice codes (Golomb codes of a power of two) suit the gaps between corrections, of which the mean is what they need.
  std::vector<std::byte> make_index() const {
    const auto places = std::ssize(lengths_) * cols_;
    const auto mean = places / (std::ssize(corrections_) + 1);
    const int rice = std::clamp(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(mean))) - 1, 0, kMaxRice);
    BitWriter out;
    out.put(static_cast<std::uint64_t>(rice), 5);
    auto correction = corrections_.begin();
    for (std::int64_t row = 0; row < std::ssize(lengths_); row += kTupleBlockRows) {
      const auto end = std::min(std::ssize(lengths_), row + kTupleBlockRows);
      put_lengths(out, std::span(lengths_).subspan(static_cast<std::size_t>(row), static_cast<std::size_t>(end - row)));
      const auto last = std::find_if(correction, corrections_.end(), [&](auto& c) { return c.place >= end * cols_; });
      out.put_gamma(static_cast<std::uint32_t>(last - correction) + 1);
      for (auto free = row * cols_; correction != last; ++correction) {
        const auto gap = static_cast<std::uint64_t>(correction->place - free);
        for (auto unary = gap >> rice; unary > 0; --unary) out.put(0, 1);
        out.put(1, 1);
        out.put(gap & ((1ull << rice) - 1), rice);
        out.put_gamma(zigzag(correction->delta));
        free = correction->place + 1;
      }
    }
    return std::move(out).finish();
  }
  static void put_lengths(BitWriter& out, std::span<const std::uint64_t> lengths) {
    const auto [least, most] = std::minmax_element(lengths.begin(), lengths.end());
    const auto width = static_cast<int>(std::bit_width(*most - *least));
    out.put(*least, 32);
    out.put(static_cast<std::uint64_t>(width), 5);
    for (const auto length : lengths) out.put(length - *least, width);
  }

  const TupleCode& code_;
  std::int64_t cols_;
  TupleWords words_of_;
  BitWriter words_;
  std::vector<std::uint64_t> lengths_;  // bits of each row
  std::vector<Correction> corrections_;
};

}  // namespace

std::vector<std::byte> encode_tuples(std::span<const std::int32_t> levels, std::int64_t cols, const TupleCode& code,
                                     const std::string& where) {
  assert(cols > 0 && std::ssize(levels) % cols == 0);
  if (cols > kMaxTupleCols) fail_unsupported(where, "{} columns; tuple streams hold up to {}", cols, kMaxTupleCols);
  check_tuple_levels(levels, cols, where);
  Encoder encoder(code, cols, where);
  const auto n = static_cast<std::size_t>(cols);
  for (std::size_t at = 0; at < levels.size(); at += n) encoder.add_row(levels.subspan(at, n));
  return std::move(encoder).finish();
}

struct TupleReader::Header {
  TupleShape shape;
  int bits;
  std::int64_t rows, cols;
  std::span<const std::byte> table, index, words;

  Header(std::span<const std::byte> bytes, const std::string& where) {
    BitReader in(bytes.first(std::min(bytes.size(), kHeaderBytes)), where);
    if (const auto version = static_cast<int>(in.get(8)); version != kVersion)
      fail_unsupported(where, "tuple streams of version {} are not read ({} is)", version, kVersion);
    shape.k = static_cast<int>(in.get(8));
    bits = static_cast<int>(in.get(8));
    const auto states = static_cast<int>(in.get(8));
    const auto restart = in.get(32), m = in.get(32), n = in.get(32), table_size = in.get(32), index_size = in.get(32);
    const auto* trellis = find_trellis(states);
    if (trellis != nullptr) shape.trellis = *trellis;
    if (trellis == nullptr || shape.k < 1 || shape.k > 3 || !fits_table(shape) || bits < 4 || bits > kMaxTupleBits)
      fail_input(where, "a tuple code with k = {}, {} bits, {} states", shape.k, bits, states);
    if (m < 1 || n < 1 || n > kMaxTupleCols || restart > kMaxTupleCols || restart % static_cast<unsigned>(shape.k) != 0)
      fail_input(where, "a tuple stream of {} x {}, restart {}", m, n, restart);
    shape.restart = static_cast<int>(restart), rows = m, cols = n;
    auto rest = bytes.subspan(kHeaderBytes);
    const auto take = [&](std::uint64_t count) {
      if (count > rest.size())
        fail_input(where, "needs {} bytes at {}, only {} are left", count, bytes.size() - rest.size(), rest.size());
      const auto part = rest.first(count);
      rest = rest.subspan(count);
      return part;
    };
    table = take(table_size), index = take(index_size);
    words = rest;
  }
};

namespace {

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
      words_(header.words) {
  read_index(header.index);
}

void TupleReader::read_index(std::span<const std::byte> bytes) {
  BitReader in(bytes, where_ + ": index");
  const auto rice = static_cast<int>(in.get(5));
  if (rice > kMaxRice) fail_input(in.where(), "gaps of {} bits", rice);
  row_starts_.push_back(0);
  for (std::int64_t row = 0; row < rows_; row += kTupleBlockRows) {
    const auto end = std::min(rows_, row + kTupleBlockRows);
    const std::uint64_t least = in.get(32);
    const auto width = static_cast<int>(in.get(5));
    for (auto r = row; r < end; ++r) row_starts_.push_back(row_starts_.back() + least + in.get(width));
    if (row_starts_.back() > 8 * words_.size())
      fail_input(in.where(), "row {} ends at bit {} of {}", end - 1, row_starts_.back(), 8 * words_.size());
    read_corrections(in, rice, row * cols_, end * cols_);
  }
  in.finish();
  corrections_.finish(rows_);
  if (words_.size() < kPadding || (row_starts_.back() + 7) / 8 != words_.size() - kPadding)
    fail_input(where_, "{} bits of code words in {} bytes", row_starts_.back(), words_.size());
  if (std::any_of(words_.end() - kPadding, words_.end(), [](std::byte b) { return b != std::byte{0}; }))
    fail_input(where_, "the last {} bytes are not zero", kPadding);
}

// Those of a block, whose places are [first, end).
void TupleReader::read_corrections(BitReader& in, int rice, std::int64_t first, std::int64_t end) {
  for (auto count = in.get_gamma() - 1; count > 0; --count) {
    std::int64_t gap = 0;
    while (in.get(1) == 0) gap += 1ll << rice;
    const auto place = first + gap + in.get(rice);
    const auto delta = unzigzag(in.get_gamma());
    if (place >= end) fail_input(in.where(), "a correction at {} of {} before bit {}", place, end, in.at());
    if (std::abs(static_cast<std::int64_t>(delta)) > UINT16_MAX)
      fail_input(in.where(), "a correction by {} before bit {}", delta, in.at());
    corrections_.add({place, delta}, cols_);
    first = place + 1;
  }
}

void TupleReader::decode(std::int64_t first, std::int64_t count, std::int16_t* out) const {
  const auto stride = cols_ + kTupleSlack;
  std::vector<std::uint8_t> points(static_cast<std::size_t>(count * stride));
  decode_bytes(first, count, points.data(), stride);
  for (std::int64_t r = 0; r < count; ++r)
    for (std::int64_t c = 0; c < cols_; ++c)
      out[r * cols_ + c] =
          static_cast<std::int16_t>(points[static_cast<std::size_t>(r * stride + c)] - code_.zero_point());
  correct(first, count, out);
}

void TupleReader::decode_bytes(std::int64_t first, std::int64_t count, std::uint8_t* out, std::int64_t stride) const {
  assert(first >= 0 && count >= 0 && first + count <= rows_ && stride >= cols_ + kTupleSlack);
  if (const auto bad = decode_tuple_rows(table(), row_starts(first), count, out, stride)) fail_row(first + *bad);
}

TupleTable TupleReader::table() const {
  const auto& shape = code_.shape();
  return {shape.k, code_.table_bits(), shape.trellis.states, shape.restart, cols_, table_.data(), words_};
}

void TupleReader::fail_row(std::int64_t row) const {
  fail_input(where_, "the code words of row {} do not end at bit {}, where the next begins", row, *row_starts(row + 1));
}

void TupleReader::correct(std::int64_t first, std::int64_t count, std::int16_t* out) const {
  for (const auto& [place, delta] : corrections(first, count)) {
    auto& point = out[place - first * cols_];
    const int sum = point + delta;
    if (sum < INT16_MIN || sum > INT16_MAX)
      fail_input(where_, "row {}, column {} is corrected to point {}", place / cols_, place % cols_, sum);
    point = static_cast<std::int16_t>(sum);
  }
}

}  // namespace nearplane
