#include "codec/level_stream.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "base/threads.h"
#include "expect_error.h"

namespace nearplane {
namespace {

struct Sample {
  LevelModel model;
  std::vector<std::int16_t> levels;

  std::vector<std::byte> encoded() const { return encode_levels(model, fit_tables(model, levels), levels); }
};

// Levels as wide as their class says: two to the quarter of it.
Sample random_sample(std::int64_t rows, std::int64_t cols, int states, std::int64_t restart, std::uint64_t seed) {
  Rng rng(seed);
  Sample out;
  out.model.trellis = *find_trellis(states);
  out.model.restart = restart;
  out.model.classes = 20;
  for (std::int64_t i = 0; i < rows; ++i) out.model.row.push_back(static_cast<int>(8 + rng.below(8)));
  for (std::int64_t j = 0; j < cols; ++j) out.model.column.push_back(static_cast<int>(rng.below(6)));
  for (const int row : out.model.row)
    for (const int column : out.model.column)
      out.levels.push_back(static_cast<std::int16_t>(std::lround(std::exp2((row - column) / 4.0 - 2) * rng.normal())));
  return out;
}

std::vector<std::int32_t> points_of(const Sample& sample) {
  std::vector<std::int32_t> out;
  for (std::int64_t i = 0, at = 0; i < sample.model.rows(); ++i)
    for (std::int64_t j = 0, state = 0; j < sample.model.cols(); ++j, ++at) {
      if (sample.model.restarts(j)) state = 0;
      const auto level = sample.levels[static_cast<std::size_t>(at)];
      out.push_back(sample.model.trellis.point(static_cast<int>(state), level));
      state = sample.model.trellis.next(static_cast<int>(state), level);
    }
  return out;
}

std::vector<std::int32_t> decoded(const LevelReader& reader) {
  std::vector<std::int32_t> out(static_cast<std::size_t>(reader.rows() * reader.cols()));
  reader.decode(0, reader.rows(), out.data());
  return out;
}

TEST(LevelStream, GivesBackThePointsOfAllRowsAndOfAny) {
  for (const int states : {1, 4, 8, 16})
    for (const auto& [rows, cols, restart] :
         {std::tuple{1, 1, 0}, {1, 300, 144}, {130, 1, 0}, {64, 40, 0}, {150, 77, 16}}) {
      SCOPED_TRACE(testing::Message() << states << " states, " << rows << " x " << cols);
      const auto sample = random_sample(rows, cols, states, restart, 1);
      const LevelReader reader(sample.encoded(), sample.model.column, "s");
      EXPECT_EQ(reader.rows(), rows);
      EXPECT_EQ(reader.trellis().states, states);
      const auto points = points_of(sample);
      EXPECT_EQ(decoded(reader), points);
      for (const auto& [first, count] : {std::pair{0, 1}, {rows / 2, rows - rows / 2}, {rows - 1, 1}, {rows / 3, 1}}) {
        std::vector<std::int32_t> part(static_cast<std::size_t>(count * cols));
        reader.decode(first, count, part.data());
        EXPECT_TRUE(std::equal(part.begin(), part.end(), points.begin() + first * cols));
      }
    }
}

TEST(LevelStream, IsAsLongAsItsTablesSay) {
  for (const int states : {1, 8}) {
    const auto sample = random_sample(256, 400, states, 144, 2);
    const auto tables = fit_tables(sample.model, sample.levels);
    const auto bytes = static_cast<double>(encode_levels(sample.model, tables, sample.levels).size());
    EXPECT_NEAR(bytes, (tables.bits + tables.own_bits) / 8 + 16 + tables.run.back() + 1 + 4 * (4 + 16), 0.001 * bytes);
  }
}

TEST(LevelStream, ClassesPayOnlyWhereTheyDiffer) {
  auto sample = random_sample(256, 400, 1, 0, 3);
  const auto apart = fit_tables(sample.model, sample.levels);
  EXPECT_GE(apart.run.back(), 4);
  auto one = sample;
  for (auto& row : one.model.row) row = 0;
  EXPECT_GT(fit_tables(one.model, one.levels).bits, 1.03 * apart.bits);
  Rng rng(4);
  for (auto& level : sample.levels) level = static_cast<std::int16_t>(rng.below(5));
  EXPECT_EQ(fit_tables(sample.model, sample.levels).run.back(), 0);
}

TEST(LevelStream, ZerosCostNextToNothing) {
  auto sample = random_sample(640, 1000, 8, 144, 5);
  std::fill(sample.levels.begin(), sample.levels.end(), std::int16_t{0});
  std::fill(sample.model.row.begin(), sample.model.row.end(), 7);
  EXPECT_LT(sample.encoded().size(), 1000u);
}

TEST(LevelStream, LargeLevelsAreExact) {
  auto sample = random_sample(3, 50, 8, 0, 6);
  sample.levels[7] = INT16_MAX, sample.levels[20] = INT16_MIN;
  EXPECT_EQ(decoded({sample.encoded(), sample.model.column, "s"}), points_of(sample));
}

TEST(LevelStream, SameBytesForAnyNumberOfThreads) {
  const auto sample = random_sample(300, 60, 4, 16, 7);
  set_thread_count(1);
  const auto one = sample.encoded();
  set_thread_count(3);
  EXPECT_EQ(sample.encoded(), one);
  set_thread_count(0);
}

TEST(LevelStream, EveryTruncationIsAnError) {
  const auto sample = random_sample(70, 20, 4, 16, 8);
  const auto bytes = sample.encoded();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    auto cut = bytes;
    cut.resize(size);
    EXPECT_THROW(decoded({cut, sample.model.column, "s"}), Error) << size;
  }
  auto longer = bytes;
  longer.push_back({});
  EXPECT_THROW(decoded({longer, sample.model.column, "s"}), Error);
}

// A stream has no checksum: what is damaged is refused or read as other points, and never crashes.
TEST(LevelStream, DamageIsAnErrorOrOtherPoints) {
  const auto sample = random_sample(70, 20, 4, 16, 9);
  const auto bytes = sample.encoded();
  const auto points = points_of(sample);
  std::size_t refused = 0, flips = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (const int bit : {0, 5}) {
      if (i >= 8 && i < 12) continue;  // other numbers of rows: sizes the caller compares with its own
      auto bad = bytes;
      bad[i] ^= static_cast<std::byte>(1 << bit);
      ++flips;
      try {
        (void)decoded({bad, sample.model.column, "s"});
      } catch (const Error&) {
        ++refused;
      }
    }
  EXPECT_GT(refused, flips / 2);
}

TEST(LevelStream, RefusesHeadersThatLie) {
  const auto sample = random_sample(70, 20, 4, 16, 10);
  const auto bytes = sample.encoded();
  const auto bad = [&](std::size_t at, int value, std::initializer_list<std::string> parts,
                       ErrorCode code = ErrorCode::bad_input) {
    auto copy = bytes;
    copy[at] = static_cast<std::byte>(value);
    expect_error(code, parts, [&] { LevelReader(copy, sample.model.column, "layer"); });
  };
  bad(0, 2, {"layer", "version 2"}, ErrorCode::unsupported);
  bad(1, 5, {"layer", "5 states"});
  bad(2, 255, {"layer", "classes"});
  bad(3, 1, {"layer", "byte 3"});
  bad(11, 255, {"layer", "blocks"});
  bad(15, 255, {"layer", "tables"});
}

}  // namespace
}  // namespace nearplane
