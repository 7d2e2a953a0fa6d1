#include "kernel/tuple_dot.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/rng.h"
#include "codec/tuple_stream.h"
#include "every_target.h"

namespace nearplane {
namespace {

std::vector<std::int32_t> gaussian(std::int64_t count, double deviation, Rng& rng) {
  std::vector<std::int32_t> levels;
  for (std::int64_t i = 0; i < count; ++i) levels.push_back(static_cast<std::int32_t>(deviation * rng.normal()));
  return levels;
}

std::vector<std::byte> encoded(const TupleShape& shape, std::int64_t rows, std::int64_t cols, Rng& rng) {
  const auto levels = gaussian(rows * cols, shape.k == 3 ? 1 : 2.5, rng);
  return encode_tuples(levels, cols, TupleCode(count_tuples(levels, cols, shape, "levels"), 10), "levels");
}

std::vector<TupleShape> shapes() {
  std::vector<TupleShape> out;
  for (const int k : {1, 2, 3})
    for (const int states : {1, 4, 8, 16}) {
      const TupleShape shape{k, *find_trellis(states), states == 1 ? 0 : 24 * k};
      if (fits_table(shape)) out.push_back(shape);
    }
  return out;
}

// x is of integers that its scale holds, so that sums are exact.
TEST(TupleDot, IsTheProductOfDecodedBytes) {
  Rng rng(1);
  for_every_target([&] {
    if (!has_tuple_dot()) return;
    for (const auto& shape : shapes())
      for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 50}, {16, 144}, {17, 200}, {150, 331}}) {
        SCOPED_TRACE(fmt::format("k = {}, {} states, {} x {}", shape.k, shape.trellis.states, rows, cols));
        const auto bytes = encoded(shape, rows, cols, rng);
        const TupleReader reader(bytes, "stream");
        std::vector<float> x(static_cast<std::size_t>(cols)), factor(x.size()), sums(static_cast<std::size_t>(rows));
        for (auto& v : x) v = static_cast<float>(static_cast<int>(rng.below(1001)) - 500);
        for (auto& f : factor) f = static_cast<float>(1 << rng.below(3));
        TupleInputs in;
        const auto zero = reader.code().zero_point();
        pack_tuple_inputs(reader.table(), x.data(), factor.data(), zero, in);
        ASSERT_EQ(tuple_dot(reader.table(), reader.row_starts(0), rows, in, sums.data()), std::nullopt);
        const auto stride = cols + kTupleSlack;
        std::vector<std::uint8_t> points(static_cast<std::size_t>(rows * stride));
        reader.decode_bytes(0, rows, points.data(), stride);
        for (std::int64_t r = 0; r < rows; ++r) {
          double sum = 0, size = 0;
          for (std::int64_t c = 0; c < cols; ++c) {
            const auto j = static_cast<std::size_t>(c);
            const double product =
                (points[static_cast<std::size_t>(r * stride + c)] - zero) * static_cast<double>(x[j] * factor[j]);
            sum += product, size += std::abs(product) + std::abs(x[j] * factor[j]);
          }
          ASSERT_NEAR(sums[static_cast<std::size_t>(r)], sum, 1e-3 + 3e-5 * size) << r;
        }
      }
  });
}

TEST(TupleDot, NumbersThatAreNotFiniteSpread) {
  Rng rng(2);
  const auto bytes = encoded({3, {}, 0}, 5, 60, rng);
  const TupleReader reader(bytes, "stream");
  for_every_target([&] {
    if (!has_tuple_dot()) return;
    for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
      std::vector<float> x(60, 1.0f), sums(5);
      x[33] = bad;
      TupleInputs in;
      pack_tuple_inputs(reader.table(), x.data(), nullptr, reader.code().zero_point(), in);
      tuple_dot(reader.table(), reader.row_starts(0), 5, in, sums.data());
      for (const float sum : sums) EXPECT_TRUE(std::isnan(sum));
    }
  });
}

// Flipped code words end rows elsewhere, at the worst behind the last one: said, or the very sums of the decoder.
TEST(TupleDot, FindsTheRowsTheDecoderFinds) {
  Rng rng(3);
  for (const auto& shape : shapes()) {
    const auto good = encoded(shape, 70, 48, rng);
    for (int trial = 0; trial < 200; ++trial) {
      auto bad = good;
      const auto words = TupleReader(good, "stream").table().words.size();
      for (auto flips = 1 + rng.below(3); flips > 0; --flips)
        bad[bad.size() - words + rng.below(words - 8)] ^= static_cast<std::byte>(1u << rng.below(8));
      for_every_target([&] {
        if (!has_tuple_dot()) return;
        const TupleReader reader(bad, "stream");
        const std::vector<float> x(48, 1.0f);
        std::vector<float> sums(70);
        TupleInputs in;
        pack_tuple_inputs(reader.table(), x.data(), nullptr, 0, in);
        std::vector<std::uint8_t> points(70 * (48 + kTupleSlack));
        const bool decodes =
            !decode_tuple_rows(reader.table(), reader.row_starts(0), 70, points.data(), 48 + kTupleSlack);
        EXPECT_EQ(!tuple_dot(reader.table(), reader.row_starts(0), 70, in, sums.data()), decodes);
      });
    }
  }
}

}  // namespace
}  // namespace nearplane
