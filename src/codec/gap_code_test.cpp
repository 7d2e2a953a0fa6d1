#include "codec/gap_code.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/rng.h"
#include "expect_error.h"

namespace nearplane {
namespace {

// k of n columns for each of m rows.
Matrix<std::int32_t> random_columns(std::int64_t m, std::int64_t n, std::int64_t k, std::uint64_t seed) {
  Rng rng(seed);
  Matrix<std::int32_t> out(m, k);
  std::vector<std::int32_t> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  for (std::int64_t r = 0; r < m; ++r) {
    for (std::int64_t j = 0; j < k; ++j)
      std::swap(all[j], all[j + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(n - j)))]);
    std::copy_n(all.begin(), k, out.row(r));
    std::sort(out.row(r), out.row(r) + k);
  }
  return out;
}

TEST(GapCode, KnownRows) {
  Matrix<std::int32_t> columns(2, 2);
  columns(0, 0) = 1, columns(0, 1) = 2, columns(1, 0) = 0, columns(1, 1) = 64;
  // Symbols 1, 0; 0, 63, 0: the second gap is of 63 columns.
  const auto bytes = encode_gaps(columns.view());
  EXPECT_EQ(bytes, (std::vector{std::byte{0x01}, std::byte{0x00}, std::byte{0xfc}, std::byte{0x00}}));
  const GapReader reader(bytes, 2, 65, 2, "t");
  std::int32_t row[2];
  reader.columns_of_row(1, row);
  EXPECT_EQ(row[0], 0);
  EXPECT_EQ(row[1], 64);
}

TEST(GapCode, GivesBackWhatWasWritten) {
  std::uint64_t seed = 0;
  for (const auto& [m, n, k] : {std::tuple{1, 1, 0}, {1, 1, 1}, {3, 5, 5}, {20, 576, 29}, {4, 3000, 2}, {5, 64, 1}}) {
    const auto columns = random_columns(m, n, k, ++seed);
    const GapReader reader(encode_gaps(columns.view()), m, n, k, "t");
    std::vector<std::int32_t> row(static_cast<std::size_t>(k));
    for (std::int64_t r = 0; r < m; ++r) {
      reader.columns_of_row(r, row.data());
      EXPECT_TRUE(std::equal(row.begin(), row.end(), columns.row(r)));
    }
  }
}

TEST(GapCode, TakesAboutAThirdOfABitForOneInTwenty) {
  const auto bytes = encode_gaps(random_columns(500, 1536, 77, 1).view());
  EXPECT_NEAR(8.0 * static_cast<double>(bytes.size()) / (500 * 1536), 0.31, 0.01);
}

TEST(GapCode, RefusesDamagedStreams) {
  const auto good = encode_gaps(random_columns(10, 300, 15, 2).view());
  const auto refused = [&](std::vector<std::byte> bytes, std::int64_t cols, std::initializer_list<std::string> parts) {
    expect_error(ErrorCode::bad_input, parts, [&] { GapReader(std::move(bytes), 10, cols, 15, "layer"); });
  };
  refused({}, 300, {"layer", "end in row 0"});
  refused({good.begin(), good.end() - 1}, 300, {"layer", "end in row 9"});
  refused(good, 200, {"layer", "leave the 200 columns"});
  auto longer = good;
  longer.push_back(std::byte{0});
  refused(longer, 300, {"bytes instead of"});
  refused(std::vector(20, std::byte{0xff}), 1 << 30, {"end in row 0"});
  // One row of one column at 3: the symbol fills six bits of a byte, the others must be zero.
  EXPECT_NO_THROW(GapReader({std::byte{0x03}}, 1, 4, 1, "layer"));
  expect_error(ErrorCode::bad_input, {"not zero"}, [] { GapReader({std::byte{0x43}}, 1, 4, 1, "layer"); });
}

}  // namespace
}  // namespace nearplane
