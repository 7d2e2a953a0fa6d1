// Fitting a tuple code: which tuples get words. The rarest of a book cost more as words (they lengthen the others) than
// as a correction now and then, so books are tried in sizes from full to one, each with its optimal lengths.
#include "codec/tuple_code.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <map>
#include <optional>

#include "codec/huffman.h"
#include "codec/tuple_map.h"

namespace nearplane {
namespace {

constexpr std::int32_t kWindow = 256;
constexpr std::int32_t kAlwaysInside = 2;  // every window holds the points of the levels -1, 0 and 1

// Bits that turn points into others.
std::uint64_t correction_bits(const Tuple& from, const Tuple& to) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < from.size(); ++i)
    if (const int delta = to[i] - from[i]; delta != 0) bits += kPlaceBits + gamma_bits(zigzag(delta));
  return bits;
}

// Lowest point of the window of kWindow points that holds most of what was counted.
std::int32_t best_window(const TupleHistogram& histogram) {
  std::map<std::int32_t, std::uint64_t> points;
  for (std::size_t s = 0; s < histogram.states.size(); ++s)
    for (const auto& [tuple, count] : histogram.states[s]) {
      const auto p = histogram.shape.points(static_cast<int>(s), tuple);
      for (int i = 0; i < histogram.shape.k; ++i) points[p[static_cast<std::size_t>(i)]] += count;
    }
  std::int32_t best_lowest = -kAlwaysInside;
  std::uint64_t best = 0;
  for (std::int32_t lowest = kAlwaysInside + 1 - kWindow; lowest <= -kAlwaysInside; ++lowest) {
    std::uint64_t inside = 0;
    for (auto p = points.lower_bound(lowest); p != points.end() && p->first < lowest + kWindow; ++p)
      inside += p->second;
    if (inside > best) best = inside, best_lowest = lowest;
  }
  return best_lowest;
}

// Tuples of levels 0 and 1: their parities lead from any state to every state that k levels can reach.
std::vector<Tuple> ones_and_zeros(int k) {
  std::vector<Tuple> tuples;
  for (int bits = 0; bits < 1 << k; ++bits) {
    Tuple tuple{};
    for (int i = 0; i < k; ++i) tuple[static_cast<std::size_t>(i)] = static_cast<std::int16_t>(bits >> i & 1);
    tuples.push_back(tuple);
  }
  return tuples;
}

// What may become words of a book: first those it must have, then the others by falling count.
struct Candidates {
  std::vector<TupleCount> tuples;
  std::size_t required = 0;
  std::uint64_t outside = 0;  // occurrences of tuples that do not fit the window
};

Candidates find_candidates(const TupleShape& shape, int state, std::span<const TupleCount> counted,
                           std::int32_t lowest) {
  Candidates out;
  std::map<Tuple, std::uint64_t> required;
  if (shape.trellis.states > 1)
    for (const auto& tuple : ones_and_zeros(shape.k)) required[tuple] = 1;
  for (const auto& [tuple, count] : counted) {
    const auto points = shape.points(state, tuple);
    if (std::any_of(points.begin(), points.end(), [&](int p) { return p < lowest || p >= lowest + kWindow; }))
      out.outside += count;
    else if (const auto it = required.find(tuple); it != required.end())
      it->second = count;
    else
      out.tuples.push_back({tuple, count});
  }
  if (out.tuples.empty() && required.empty()) required[Tuple{}] = 1;
  std::stable_sort(out.tuples.begin(), out.tuples.end(), [](auto& a, auto& b) { return a.count > b.count; });
  out.required = required.size();
  std::vector<TupleCount> all;
  for (const auto& [tuple, count] : required) all.push_back({tuple, count});
  all.insert(all.end(), out.tuples.begin(), out.tuples.end());
  out.tuples.swap(all);
  return out;
}

// Lengths of the first `size` candidates, and what the book then costs: words, corrections, its own description.
struct Book {
  std::vector<std::uint8_t> lengths;
  std::uint64_t bits;
};

Book try_size(const Candidates& candidates, std::size_t size, int limit) {
  // About what a word's description, the code of a substitute and the size of a correction take.
  constexpr std::uint64_t kWordBits = 6, kSubstituteBits = 5, kDeltaBits = 3;
  std::vector<std::uint64_t> counts;
  auto left_out = candidates.outside;
  for (const auto& candidate : candidates.tuples)
    if (counts.size() < size)
      counts.push_back(candidate.count);
    else
      left_out += candidate.count;
  Book book{huffman_lengths(counts, limit), left_out * (kPlaceBits + kDeltaBits + kSubstituteBits) + size * kWordBits};
  for (std::size_t i = 0; i < size; ++i) book.bits += counts[i] * book.lengths[i];
  return book;
}

Book best_size(const Candidates& candidates, int limit) {
  auto size = std::min(candidates.tuples.size(), std::size_t{1} << limit);
  auto best = try_size(candidates, size, limit);
  while (size > std::max<std::size_t>(candidates.required, 1)) {
    size = std::max({size * 7 / 8, candidates.required, std::size_t{1}});
    if (auto book = try_size(candidates, size, limit); book.bits < best.bits) best = std::move(book);
  }
  return best;
}

}  // namespace

Tuple TupleShape::points(int state, const Tuple& tuple) const {
  Tuple points{};
  for (std::size_t i = 0; i < static_cast<std::size_t>(k); ++i) {
    points[i] = static_cast<std::int16_t>(trellis.point(state, tuple[i]));
    state = trellis.next(state, tuple[i]);
  }
  return points;
}

void check_tuple_levels(std::span<const std::int32_t> levels, std::int64_t cols, const std::string& where) {
  for (std::size_t i = 0; i < levels.size(); ++i)
    if (levels[i] < -kMaxTupleLevel || levels[i] > kMaxTupleLevel)
      fail_unsupported(where, "level {} at row {}, column {} is beyond the {} of tuple codes", levels[i],
                       static_cast<std::int64_t>(i) / cols, static_cast<std::int64_t>(i) % cols, kMaxTupleLevel);
}

TupleHistogram count_tuples(std::span<const std::int32_t> levels, std::int64_t cols, const TupleShape& shape,
                            const std::string& where) {
  assert(cols > 0 && std::ssize(levels) % cols == 0);
  check_tuple_levels(levels, cols, where);
  TupleMap map(shape);
  const auto n = static_cast<std::size_t>(cols);
  for (std::size_t at = 0; at < levels.size(); at += n)
    for_each_tuple(levels.subspan(at, n), shape, [&](std::size_t, int state, const Tuple& t) { ++map(state, t); });
  TupleHistogram out{shape, std::vector<std::vector<TupleCount>>(static_cast<std::size_t>(shape.trellis.states))};
  map.for_each([&](int state, const Tuple& tuple, std::uint64_t count) {
    out.states[static_cast<std::size_t>(state)].push_back({tuple, count});
  });
  for (auto& counts : out.states)
    std::sort(counts.begin(), counts.end(), [](auto& a, auto& b) { return a.tuple < b.tuple; });
  return out;
}

TupleCode::TupleCode(const TupleHistogram& histogram, int bits) : shape_(histogram.shape), bits_(bits) {
  assert(bits >= 4 && bits <= kMaxTupleBits && fits_table(shape_));
  const auto lowest = best_window(histogram);
  books_.resize(histogram.states.size());
  for (std::size_t s = 0; s < books_.size(); ++s) {
    const auto candidates = find_candidates(shape_, static_cast<int>(s), histogram.states[s], lowest);
    const auto book = best_size(candidates, bits);
    for (std::size_t i = 0; i < book.lengths.size(); ++i) add_word(s, candidates.tuples[i].tuple, book.lengths[i]);
  }
  finish_books();
}

void TupleCode::add_word(std::size_t state, const Tuple& tuple, int length) {
  const auto s = static_cast<int>(state);
  books_[state].push_back(
      {tuple, shape_.points(s, tuple), shape_.end_state(s, tuple), static_cast<std::uint8_t>(length), 0});
}

// Canonical order, codes, and the zero point: the least that makes every point a byte.
void TupleCode::finish_books() {
  int lowest = 0;
  for (auto& book : books_) {
    std::sort(book.begin(), book.end(), [](const auto& a, const auto& b) {
      return a.length != b.length ? a.length < b.length : a.tuple < b.tuple;
    });
    std::vector<std::uint8_t> lengths;
    for (const auto& word : book) lengths.push_back(word.length);
    const auto codes = huffman_codes(lengths);
    for (std::size_t i = 0; i < book.size(); ++i) {
      book[i].code = codes[i];
      for (const int point : book[i].points) lowest = std::min(lowest, point);
    }
  }
  zero_point_ = -lowest;
}

std::size_t TupleCode::substitute(int state, const Tuple& tuple, const std::string& where) const {
  const auto& words = book(state);
  const auto points = shape_.points(state, tuple);
  const auto end = shape_.end_state(state, tuple);
  auto best = words.size();
  auto best_bits = std::numeric_limits<std::uint64_t>::max();
  for (std::size_t i = 0; i < words.size() && words[i].length + std::uint64_t{kPlaceBits} < best_bits;
       ++i) {  // by ascending length
    if (words[i].end_state != end) continue;
    const auto bits = words[i].length + correction_bits(words[i].points, points);
    if (bits < best_bits) best = i, best_bits = bits;
  }
  if (best == words.size())
    fail_input(where, "no code word leads from state {} to {} with levels {}, {}, {}", state, end, tuple[0], tuple[1],
               tuple[2]);
  return best;
}

std::uint64_t TupleCode::total_bits(const TupleHistogram& histogram) const {
  BitWriter description;
  write(description);
  auto bits = description.bits();
  const std::string where = "histogram";
  TupleWords words(*this, where);
  for (std::size_t s = 0; s < histogram.states.size(); ++s)
    for (const auto& [tuple, count] : histogram.states[s]) {
      const auto state = static_cast<int>(s);
      const auto& word = words(state, tuple);
      bits += count * (word.length + correction_bits(word.points, shape_.points(state, tuple)));
    }
  return bits;
}

std::vector<std::uint32_t> TupleCode::table() const {
  const int state_shift = shape_.k == 3 ? 6 : table_bits();
  std::vector<std::uint32_t> table;
  for (const auto& words : books_) {
    std::vector<std::uint8_t> lengths;
    std::vector<std::uint32_t> entries;
    for (const auto& word : words) {
      auto entry = word.length | static_cast<std::uint32_t>(word.end_state) << state_shift;
      for (int i = 0; i < shape_.k; ++i)
        entry |= static_cast<std::uint32_t>(word.points[static_cast<std::size_t>(i)] + zero_point_)
                 << (32 - 8 * (shape_.k - i));
      lengths.push_back(word.length);
      entries.push_back(entry);
    }
    for (const auto symbol : huffman_windows(lengths, table_bits())) table.push_back(entries[symbol]);
  }
  return table;
}

TupleCode best_tuple_code(std::span<const std::int32_t> levels, std::int64_t cols, const Trellis& trellis, int restart,
                          int bits, double slack, const std::string& where) {
  // A book of words of at most `bits` bits has no place for most tuples that take more than this part of them.
  constexpr double kFull = 0.8;
  std::vector<std::pair<TupleCode, std::uint64_t>> codes;  // with the bits they spend
  for (int k = 1; k <= 3; ++k) {
    const TupleShape shape{k, trellis, restart};
    if (!fits_table(shape) || restart % k != 0) continue;
    if (k > 1 && k * static_cast<double>(codes.front().second) > kFull * bits * static_cast<double>(levels.size()))
      break;
    const auto histogram = count_tuples(levels, cols, shape, where);
    TupleCode code(histogram, bits);
    const auto total = code.total_bits(histogram);
    codes.emplace_back(std::move(code), total);
  }
  const auto least = std::min_element(codes.begin(), codes.end(), [](auto& x, auto& y) { return x.second < y.second; });
  const auto most = (1 + slack) * static_cast<double>(least->second);
  while (static_cast<double>(codes.back().second) > most) codes.pop_back();
  return std::move(codes.back().first);
}

}  // namespace nearplane
