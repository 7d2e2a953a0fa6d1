#include "codec/tuple_code.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "base/rng.h"
#include "codec/tuple_stream.h"
#include "nearplane/error.h"

namespace nearplane {
namespace {

using Levels = std::vector<std::int32_t>;

Levels gaussian(std::size_t count, double deviation, std::uint64_t seed) {
  Rng rng(seed);
  Levels levels(count);
  for (auto& z : levels) z = static_cast<std::int32_t>(std::lround(deviation * rng.normal()));
  return levels;
}

// Grid points by the definition, one level after the other.
std::vector<std::int16_t> points_of(const Levels& levels, std::int64_t cols, const TupleShape& shape) {
  std::vector<std::int16_t> points;
  int state = 0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const auto column = static_cast<std::int64_t>(i) % cols;
    if (column == 0 || (shape.restart > 0 && column % shape.restart == 0)) state = 0;
    points.push_back(static_cast<std::int16_t>(shape.trellis.point(state, levels[i])));
    state = shape.trellis.next(state, levels[i]);
  }
  return points;
}

std::vector<std::int16_t> decode(std::span<const std::byte> bytes) {
  const TupleReader reader(bytes, "stream");
  std::vector<std::int16_t> points(static_cast<std::size_t>(reader.rows() * reader.cols()));
  reader.decode(0, reader.rows(), points.data());
  return points;
}

std::vector<TupleShape> every_shape() {
  std::vector<TupleShape> shapes;
  for (const auto& trellis : kTrellises)
    for (int k = 1; k <= 3; ++k)
      for (const int restart : {0, 12})
        if (const TupleShape shape{k, trellis, restart}; fits_table(shape)) shapes.push_back(shape);
  return shapes;
}

void expect_round_trip(const Levels& levels, std::int64_t cols, const TupleShape& shape, int bits) {
  const auto histogram = count_tuples(levels, cols, shape, "levels");
  const TupleCode code(histogram, bits);
  const auto bytes = encode_tuples(levels, cols, code, "levels");
  EXPECT_EQ(decode(bytes), points_of(levels, cols, shape));
  // Size by the formula: header, padding, index, and what fills the three parts up to whole bytes; the places of the
  // corrections are estimated.
  const auto rows = std::ssize(levels) / cols, blocks = (rows + kTupleBlockRows - 1) / kTupleBlockRows;
  const auto total = static_cast<double>(8 * bytes.size()) - 8 * 32 - static_cast<double>(38 * blocks) - 5;
  const auto formula = static_cast<double>(code.total_bits(histogram));
  const auto corrections = static_cast<double>(TupleReader(bytes, "stream").correction_count());
  EXPECT_LE(total, formula + 21 + static_cast<double>(rows * 20 + blocks * 30) + 3 * corrections);
  if (cols % shape.k == 0) {  // elsewhere the filling of the last tuples counts, but is not corrected
    EXPECT_GE(total, formula - kPlaceBits * corrections);
  }
}

TEST(TupleCode, ComesBackForEveryShape) {
  for (const auto& shape : every_shape())
    for (const int bits : {4, 8, 11})
      for (const std::int64_t cols : {1, 5, 36, 37})
        expect_round_trip(gaussian(static_cast<std::size_t>(70 * cols), 1.5, 1), cols, shape, bits);
}

TEST(TupleCode, TakesRareLevelsOfAnySizeAndConstantRows) {
  for (const auto& shape : every_shape()) {
    auto levels = gaussian(40 * 30, 1, 2);
    levels[3] = kMaxTupleLevel, levels[500] = -kMaxTupleLevel, levels[501] = 300, levels[1199] = -4000;
    expect_round_trip(levels, 30, shape, 10);
    for (const std::int32_t constant : {0, 1, -7, 250, 1000}) expect_round_trip(Levels(300, constant), 30, shape, 10);
    expect_round_trip(Levels{5}, 1, shape, 10);
    Levels apart(300);  // two levels that no window holds together
    for (std::size_t i = 0; i < apart.size(); ++i) apart[i] = i % 3 == 0 ? 200 : -200;
    expect_round_trip(apart, 30, shape, 10);
  }
}

TEST(TupleCode, CostsNothingForZeros) {
  const Levels zeros(64 * 1000);
  const auto code = best_tuple_code(zeros, 1000, {}, 0, 10, 0, "zeros");
  EXPECT_LT(encode_tuples(zeros, 1000, code, "zeros").size(), 70u);
}

// Entropy 2.1 and 3.06 bits.
TEST(TupleCode, IsCloseToTheEntropy) {
  for (const auto& [deviation, most] : {std::pair{1.0, 0.04}, {2.0, 0.05}}) {
    const auto levels = gaussian(1 << 18, deviation, 3);
    std::map<std::int32_t, double> counts;
    for (const auto z : levels) counts[z] += 1;
    double entropy = 0;
    for (const auto& [z, c] : counts) entropy += c * std::log2((1 << 18) / c);
    const auto code = best_tuple_code(levels, 4096, {}, 0, 10, 0, "levels");
    const auto bits = 8 * static_cast<double>(encode_tuples(levels, 4096, code, "levels").size());
    EXPECT_LT((bits - entropy) / (1 << 18), most) << "deviation " << deviation << ", k = " << code.shape().k;
  }
}

TEST(TupleCode, EncodesWhatItHasNotSeen) {
  for (const auto& shape : every_shape()) {
    const TupleCode code(count_tuples(gaussian(36 * 40, 0.5, 4), 36, shape, "seen"), 10);
    const auto levels = gaussian(36 * 40, 6, 5);
    EXPECT_EQ(decode(encode_tuples(levels, 36, code, "unseen")), points_of(levels, 36, shape));
  }
}

TEST(TupleCode, EntryIsTheOperandOfADotProduct) {
  for (const auto& shape : every_shape()) {
    const TupleCode code(count_tuples(gaussian(36 * 400, 1.5, 6), 36, shape, "levels"), 9);
    const auto table = code.table();
    ASSERT_EQ(table.size(), static_cast<std::size_t>(shape.trellis.states) << 9);
    for (int state = 0; state < shape.trellis.states; ++state)
      for (const auto& word : code.book(state)) {
        const auto entry = table[static_cast<std::size_t>(state) << 9 | word.code];
        EXPECT_EQ(entry & 31, word.length);
        EXPECT_EQ(entry & 32, 0u);
        EXPECT_EQ(entry >> (shape.k == 3 ? 6 : 9) & static_cast<unsigned>(shape.trellis.states - 1),
                  static_cast<unsigned>(shape.end_state(state, word.tuple)));
        for (int i = 0; i < shape.k; ++i)
          EXPECT_EQ(static_cast<int>(entry >> (32 - 8 * (shape.k - i)) & 255),
                    shape.points(state, word.tuple)[static_cast<std::size_t>(i)] + code.zero_point());
      }
  }
}

TEST(TupleStream, DecodesAnyRows) {
  const TupleShape shape{2, *find_trellis(4), 12};
  auto levels = gaussian(100 * 50, 2, 7);
  levels[4321] = 999;
  const auto points = points_of(levels, 50, shape);
  const auto bytes = encode_tuples(levels, 50, TupleCode(count_tuples(levels, 50, shape, "levels"), 8), "levels");
  const TupleReader reader(bytes, "stream");
  for (const auto& [first, count] : {std::pair{0, 0}, {0, 100}, {31, 2}, {99, 1}, {5, 90}, {86, 1}}) {
    std::vector<std::int16_t> some(static_cast<std::size_t>(count * 50));
    reader.decode(first, count, some.data());
    EXPECT_TRUE(std::equal(some.begin(), some.end(), points.begin() + first * 50));
  }
}

TEST(TupleStream, RefusesWhatItCannotHold) {
  const TupleShape shape{1, {}, 0};
  EXPECT_THROW(count_tuples(Levels{kMaxTupleLevel + 1}, 1, shape, "levels"), Error);
  EXPECT_THROW(count_tuples(Levels{INT32_MIN}, 1, shape, "levels"), Error);
  const TupleCode code(count_tuples(Levels{0}, 1, shape, "levels"), 10);
  EXPECT_THROW(encode_tuples(Levels{-kMaxTupleLevel - 1}, 1, code, "levels"), Error);
  EXPECT_THROW(encode_tuples(Levels(70000), 70000, code, "levels"), Error);
}

TEST(TupleStream, RefusesDamage) {
  Rng rng(8);
  for (const auto& shape : every_shape()) {
    auto levels = gaussian(36 * 36, 1.5, 9);
    levels[77] = 2000;
    const auto good = encode_tuples(levels, 36, TupleCode(count_tuples(levels, 36, shape, "levels"), 8), "levels");
    for (std::size_t size = 0; size < good.size(); size += 1 + size / 8)
      EXPECT_THROW(decode(std::span(good).first(size)), Error) << size;
    auto longer = good;
    longer.push_back({});
    EXPECT_THROW(decode(longer), Error);
    // A flipped bit may lead to another valid stream; it must not lead outside the bytes.
    for (int trial = 0; trial < 300; ++trial) {
      auto bad = good;
      for (auto flips = 1 + rng.below(3); flips > 0; --flips)
        bad[rng.below(rng.below(2) == 0 ? 300 : bad.size())] ^= static_cast<std::byte>(1u << rng.below(8));
      try {
        const TupleReader reader(bad, "stream");
        if (reader.rows() * reader.cols() < 1 << 22) decode(bad);
      } catch (const Error&) {
      }
    }
  }
}

}  // namespace
}  // namespace nearplane
