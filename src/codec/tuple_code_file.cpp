// The stored form of a tuple code: per book how many words there are of each length, and the words of a length as gaps
// in the numbering of tuples. Canonical order does the rest. See docs/formats/streams.md.
#include <algorithm>
#include <array>

#include "codec/huffman.h"
#include "codec/tuple_code.h"

namespace nearplane {
namespace {

constexpr int kLevelBits = 15;        // of the lowest level + kMaxTupleLevel
constexpr std::uint32_t kSpan = 256;  // levels from the lowest to the highest

// Tuples of levels lowest + [0, span) as numbers, the first level counting most.
struct Numbering {
  std::int32_t lowest;
  std::uint32_t span;
  int k;

  std::uint32_t number(const Tuple& tuple) const {
    std::uint32_t number = 0;
    for (int i = 0; i < k; ++i)
      number = number * span + static_cast<std::uint32_t>(tuple[static_cast<std::size_t>(i)] - lowest);
    return number;
  }
  Tuple tuple(std::uint32_t number) const {
    Tuple tuple{};
    for (int i = k - 1; i >= 0; --i, number /= span)
      tuple[static_cast<std::size_t>(i)] = static_cast<std::int16_t>(lowest + static_cast<std::int32_t>(number % span));
    return tuple;
  }
  std::uint32_t count() const {
    std::uint32_t count = 1;
    for (int i = 0; i < k; ++i) count *= span;
    return count;
  }
};

Numbering number_levels(const std::vector<std::vector<TupleWord>>& books, int k) {
  std::int32_t lowest = books[0][0].tuple[0], highest = lowest;
  for (const auto& book : books)
    for (const auto& word : book)
      for (int i = 0; i < k; ++i) {
        const std::int32_t level = word.tuple[static_cast<std::size_t>(i)];
        lowest = std::min(lowest, level), highest = std::max(highest, level);
      }
  return {lowest, static_cast<std::uint32_t>(highest - lowest + 1), k};
}

}  // namespace

void TupleCode::write(BitWriter& out) const {
  const auto numbering = number_levels(books_, shape_.k);
  out.put(static_cast<std::uint64_t>(numbering.lowest + kMaxTupleLevel), kLevelBits);
  out.put(numbering.span - 1, 8);
  for (const auto& book : books_) {
    auto word = book.begin();
    for (int length = 0; length <= bits_; ++length) {
      const auto end = std::find_if(word, book.end(), [&](const auto& w) { return w.length != length; });
      out.put_gamma(static_cast<std::uint32_t>(end - word) + 1);
      for (std::uint32_t free = 0; word != end; ++word) {
        const auto number = numbering.number(word->tuple);
        out.put_gamma(number - free + 1);
        free = number + 1;
      }
    }
  }
}

TupleCode::TupleCode(BitReader& in, const TupleShape& shape, int bits) : shape_(shape), bits_(bits) {
  Numbering numbering{static_cast<std::int32_t>(in.get(kLevelBits)) - kMaxTupleLevel, in.get(8) + 1, shape.k};
  if (numbering.lowest + static_cast<std::int32_t>(numbering.span) - 1 > kMaxTupleLevel)
    fail_input(in.where(), "tuple levels from {} to {}", numbering.lowest,
               numbering.lowest + static_cast<std::int32_t>(numbering.span) - 1);
  books_.resize(static_cast<std::size_t>(shape.trellis.states));
  for (std::size_t s = 0; s < books_.size(); ++s) {
    std::vector<std::uint8_t> lengths;
    for (int length = 0; length <= bits; ++length) {
      const auto count = in.get_gamma() - 1;
      if (count > (1u << bits) - lengths.size())
        fail_input(in.where(), "more words than windows in state {} before bit {}", s, in.at());
      lengths.insert(lengths.end(), count, static_cast<std::uint8_t>(length));
      std::uint64_t free = 0;
      for (std::uint32_t i = 0; i < count; ++i) {
        const auto number = free + in.get_gamma() - 1;
        if (number >= numbering.count())
          fail_input(in.where(), "tuple {} of {} before bit {}", number, numbering.count(), in.at());
        add_word(s, numbering.tuple(static_cast<std::uint32_t>(number)), length);
        free = number + 1;
      }
    }
    check_huffman(lengths, bits, in.where());
  }
  finish_books();
  for (const auto& book : books_)
    for (const auto& word : book)
      for (const int point : word.points)
        if (point + zero_point_ >= static_cast<int>(kSpan))
          fail_input(in.where(), "points from {} to {} do not fit a byte", -zero_point_, point);
}

}  // namespace nearplane
