#include "codec/rans.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/rng.h"
#include "nearplane/error.h"

namespace nearplane {
namespace {

using Levels = std::vector<std::int32_t>;
using Classes = std::vector<std::uint8_t>;

struct Coded {
  std::vector<std::byte> tables, stream;
  std::uint64_t bits() const { return 8 * (tables.size() + stream.size()); }
};

std::vector<LevelCounts> count(const Levels& levels, const Classes& classes) {
  std::vector<LevelCounts> counts(classes.empty() ? 1 : *std::max_element(classes.begin(), classes.end()) + 1u);
  for (std::size_t i = 0; i < levels.size(); ++i) ++counts[classes[i]][levels[i]];
  return counts;
}

Coded encode(const Levels& levels, const Classes& classes) {
  std::vector<RansTable> tables;
  for (const auto& c : count(levels, classes)) tables.emplace_back(c);
  return {write_rans_tables(tables), rans_encode(levels, classes, tables)};
}

Levels decode(const Coded& coded, const Classes& classes) {
  const auto tables = read_rans_tables(coded.tables, "tables");
  RansDecoder decoder(coded.stream, tables, "stream");
  Levels levels;
  for (const auto cls : classes) levels.push_back(decoder.next(cls));
  decoder.finish();
  return levels;
}

double entropy_bits(const Levels& levels, const Classes& classes) {
  double bits = 0;
  for (const auto& counts : count(levels, classes)) {
    double total = 0;
    for (const auto& [level, c] : counts) total += static_cast<double>(c);
    for (const auto& [level, c] : counts) bits += static_cast<double>(c) * std::log2(total / static_cast<double>(c));
  }
  return bits;
}

std::int32_t laplace(double scale, Rng& rng) {
  const auto u = rng.uniform() - 0.5;
  return static_cast<std::int32_t>(std::lround(-std::copysign(scale, u) * std::log1p(-2 * std::abs(u) * 0.999999)));
}

TEST(Rans, ComesBackWithinAHundredthOfABit) {
  Rng rng(1);
  for (const double deviation : {0.1, 0.4, 1.0, 2.0, 5.0, 20.0, 60.0}) {
    Levels gauss(100000), tails(100000);
    for (auto& z : gauss) z = static_cast<std::int32_t>(std::lround(deviation * rng.normal()));
    for (auto& z : tails) z = laplace(deviation, rng);
    const Classes classes(gauss.size());
    for (const auto& levels : {gauss, tails}) {
      const auto coded = encode(levels, classes);
      ASSERT_EQ(decode(coded, classes), levels);
      const auto excess = (static_cast<double>(coded.bits()) - entropy_bits(levels, classes)) / 1e5;
      // Above 6 bits the stored alphabet and the escapes show.
      EXPECT_LT(excess, deviation <= 5 ? 0.01 : deviation * 0.0012) << "deviation " << deviation;
    }
  }
}

TEST(Rans, GivesEachClassItsTable) {
  Rng rng(2);
  Levels levels(400000);
  Classes classes(levels.size());
  for (std::size_t i = 0; i < levels.size(); ++i) {
    classes[i] = static_cast<std::uint8_t>(rng.below(8));
    levels[i] = static_cast<std::int32_t>(std::lround(std::exp2(classes[i] / 4.0) * rng.normal())) + classes[i];
  }
  const auto coded = encode(levels, classes);
  EXPECT_EQ(decode(coded, classes), levels);
  EXPECT_LT((static_cast<double>(coded.bits()) - entropy_bits(levels, classes)) / 4e5, 0.01);
}

TEST(Rans, TakesEveryLevelWithEveryTable) {
  Levels levels;
  for (int b = 0; b < 32; ++b)
    for (const auto v : {(1ll << b) - 1, 1ll << b, -(1ll << b)}) levels.push_back(static_cast<std::int32_t>(v));
  levels.push_back(std::numeric_limits<std::int32_t>::max());
  levels.push_back(std::numeric_limits<std::int32_t>::min());
  const Classes classes(levels.size());
  for (const LevelCounts& counts :
       {LevelCounts{}, LevelCounts{{0, 5}}, LevelCounts{{INT32_MAX, 1}}, LevelCounts{{INT32_MIN, 9}, {INT32_MAX, 8}}}) {
    const std::vector<RansTable> tables{RansTable(counts)};
    double bits = 0;
    for (const auto level : levels) bits += tables[0].bits(level);
    const Coded coded{write_rans_tables(tables), rans_encode(levels, classes, tables)};
    EXPECT_EQ(decode(coded, classes), levels);
    EXPECT_NEAR(8 * static_cast<double>(coded.stream.size()) - 128, bits, 64);
  }
}

TEST(Rans, CodesConstantAndEmptyStreams) {
  for (const std::int32_t level : {0, -7, 1000000}) {
    const Levels levels(100000, level);
    const auto coded = encode(levels, Classes(levels.size()));
    EXPECT_EQ(decode(coded, Classes(levels.size())), levels);
    EXPECT_LT(coded.bits(), 0.001 * 100000 + 300);
  }
  const auto coded = encode({}, {});
  EXPECT_EQ(coded.stream.size(), 16u);
  EXPECT_TRUE(decode(coded, {}).empty());
}

// Worked out by hand: weights 2048, 2048 and 1 for the escape become 2048, 2047 and 1 slots.
TEST(Rans, WritesTheKnownBytes) {
  const auto bytes = [](std::initializer_list<int> values) {
    std::vector<std::byte> out;
    for (const int v : values) out.push_back(static_cast<std::byte>(v));
    return out;
  };
  const auto coded = encode({-1, 0}, {0, 0});
  // Version, classes, a zero bit, zigzag(-1) in 32 bits, 2 in 11 bits; exponents 12, 12, 1 as gamma(25) 000, gamma(1)
  // 000, gamma(22).
  EXPECT_EQ(coded.tables, bytes({1, 1, 2, 0, 0, 0, 0x04, 0x00, 0x13, 0x01, 0x0d}));
  // 65536 / 2048 = 32, no remainder; 65536 / 2047 = 32, remainder 32, start 2048; two states unused.
  EXPECT_EQ(coded.stream, bytes({0, 0, 2, 0, 0x20, 0x08, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0}));
}

TEST(Rans, RefusesDamagedStreams) {
  Rng rng(4);
  Levels levels(3000);
  for (auto& z : levels) z = laplace(4, rng);
  const Classes classes(levels.size());
  const auto good = encode(levels, classes);
  for (std::size_t size = 0; size < good.stream.size(); size += 1 + size / 16) {
    auto bad = good;
    bad.stream.resize(size);
    EXPECT_THROW(decode(bad, classes), Error) << size;
  }
  for (std::size_t size = 0; size < good.tables.size(); ++size) {
    auto bad = good;
    bad.tables.resize(size);
    EXPECT_THROW(decode(bad, classes), Error) << size;
  }
  auto longer = good;
  longer.stream.resize(longer.stream.size() + 2);
  EXPECT_THROW(decode(longer, classes), Error);
  // A flipped bit may give other levels, but neither a crash nor levels that pass for the encoder's.
  for (int trial = 0; trial < 2000; ++trial) {
    auto bad = good;
    auto& bytes = rng.below(4) == 0 ? bad.tables : bad.stream;
    bytes[rng.below(bytes.size())] ^= static_cast<std::byte>(1u << rng.below(8));
    try {
      EXPECT_NE(decode(bad, classes), levels);
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace nearplane
