#include "kernel/packed_dot.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/rng.h"
#include "codec/pack.h"
#include "every_product.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

// Packed rows with all that a kernel reads, and the codes they hold.
struct Case {
  Case(PackedShape s, std::int64_t r, std::int64_t bytes_of_row)
      : shape(std::move(s)),
        rows(r),
        row_bytes(bytes_of_row),
        bytes(static_cast<std::size_t>(r * bytes_of_row + kPackedPadding)) {}

  PackedShape shape;
  std::int64_t rows, row_bytes;
  std::vector<int> codes;  // [rows][cols], less zero point
  std::vector<std::byte> bytes;
  std::vector<float> scales, offsets;  // [rows][pieces]

  std::vector<PackedRow> views() const {
    std::vector<PackedRow> out;
    const auto n = shape.pieces();
    for (std::int64_t r = 0; r < rows; ++r)
      out.push_back({bytes.data() + r * row_bytes, scales.data() + r * n, offsets.data() + r * n});
    return out;
  }
  // Random scales and zero points below `top` of one more row, for groups of `repeat` pieces. Returns the zero points.
  std::vector<int> add_scales(std::int64_t repeat, int top, Rng& rng) {
    std::vector<int> zeros;
    for (std::int64_t p = 0; p < shape.pieces(); ++p) {
      const bool same = p % repeat != 0;
      scales.push_back(same ? scales.back() : static_cast<float>(1 << rng.below(3)));
      zeros.push_back(same ? zeros.back() : static_cast<int>(rng.below(static_cast<std::uint64_t>(top))));
      offsets.push_back(scales.back() * static_cast<float>(zeros.back()));
    }
    return zeros;
  }
};

Case random_stream(std::int64_t rows, std::int64_t cols, int bits, std::int64_t group, Rng& rng) {
  Case c(PackedShape::stream(cols, bits, group), rows, packed_row_bytes(cols, bits));
  std::vector<std::uint8_t> row(static_cast<std::size_t>(cols));
  std::fill(c.bytes.begin(), c.bytes.end(), std::byte{0xff});
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto zeros = c.add_scales(group >= cols ? cols : group / c.shape.step, 1 << bits, rng);
    for (std::int64_t j = 0; j < cols; ++j) {
      row[static_cast<std::size_t>(j)] = static_cast<std::uint8_t>(rng.below(1ull << bits));
      c.codes.push_back(row[static_cast<std::size_t>(j)] - zeros[static_cast<std::size_t>(j / c.shape.step)]);
    }
    pack_row(row, bits, c.bytes.data() + r * c.row_bytes);
  }
  return c;
}

Case random_blocks(std::int64_t rows, std::int64_t cols, CodeForm form, Rng& rng) {
  Case c(PackedShape::blocks(cols, form, 2), rows, cols / 32 * (form == CodeForm::halves ? 18 : 34));
  for (auto& b : c.bytes) b = static_cast<std::byte>(rng.below(256));
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto zeros = c.add_scales(1, form == CodeForm::halves ? 16 : 1, rng);
    for (std::int64_t j = 0; j < cols; ++j) {
      const auto i = j % 32;
      const auto* block = c.bytes.data() + r * c.row_bytes + j / 32 * c.shape.piece_bytes + 2;
      c.codes.push_back(form == CodeForm::halves ? (std::to_integer<int>(block[i % 16]) >> (i < 16 ? 0 : 4) & 15) -
                                                       zeros[static_cast<std::size_t>(j / 32)]
                                                 : static_cast<std::int8_t>(std::to_integer<int>(block[i])));
    }
  }
  return c;
}

struct Packed {
  std::vector<std::int16_t> values;
  std::vector<float> scales, sums;
  PackedInputs in;
};
Packed pack(const PackedShape& shape, MatrixView<const float> x, const float* factor = nullptr) {
  Packed p;
  const auto room = shape.pieces() * PackedInputs::room_for(x.rows);
  p.values.resize(static_cast<std::size_t>(room * shape.width));
  p.scales.resize(static_cast<std::size_t>(room)), p.sums.resize(p.scales.size());
  pack_inputs(shape, x, factor, p.values.data(), p.scales.data(), p.sums.data());
  p.in = {x.rows, p.values.data(), p.scales.data(), p.sums.data()};
  return p;
}

// Integers small enough that f32 holds every sum: the product must be exact.
void expect_exact(const Case& c, std::int64_t tokens, Rng& rng) {
  Matrix<float> x(tokens, c.shape.cols);
  for (auto& v : x.span()) v = static_cast<float>(static_cast<int>(rng.below(7)) - 3);
  for (std::int64_t p = 0; p < c.shape.pieces();
       ++p)  // the largest of every piece is kPackedTop / 8192: a scale of 2^-13
    for (std::int64_t t = 0; t < tokens; ++t) x(t, p * c.shape.step) = kPackedTop / 8192.0f;
  const auto packed = pack(c.shape, x.view());
  std::vector<float> sums(static_cast<std::size_t>(c.rows * tokens));
  packed_dot(c.shape, packed.in, c.views(), sums.data());
  for (std::int64_t r = 0; r < c.rows; ++r)
    for (std::int64_t t = 0; t < tokens; ++t) {
      double sum = 0, size = 0;  // of all products, their sizes with and without the zero point
      for (std::int64_t p = 0; p < c.shape.pieces(); ++p) {
        const auto at = static_cast<std::size_t>(r * c.shape.pieces() + p);
        std::int64_t part = 0;
        for (auto j = p * c.shape.step; j < p * c.shape.step + c.shape.count(p); ++j) {
          const auto code = c.codes[static_cast<std::size_t>(r * c.shape.cols + j)];
          part += code * std::llround(x(t, j) * 8192);
          size += std::abs(x(t, j)) * (std::abs(code) * c.scales[at] + c.offsets[at]);
        }
        sum += static_cast<double>(part) / 8192 * c.scales[at];
      }
      const auto got = sums[static_cast<std::size_t>(r * tokens + t)];
      ASSERT_NEAR(got, sum, 1e-6 * (1 + size)) << "row " << r << ", token " << t;
    }
}

TEST(PackedDot, StreamsOfEveryWidthAndShape) {
  Rng rng(1);
  for_every_product([&] {
    for (int bits = 2; bits <= 8; ++bits)
      for (const auto& [cols, group] : {std::pair<std::int64_t, std::int64_t>{64, 64},
                                        {576, 64},
                                        {100, 100},
                                        {7, 7},
                                        {96, 32},
                                        {200, 24},
                                        {330, 128},
                                        {1, 1},
                                        {65, 8}})
        for (const std::int64_t tokens : {1, 2, 3, 4, 17, 64})
          for (const std::int64_t rows : {1, 5, 17}) {
            SCOPED_TRACE(fmt::format("{} bits, {} columns, groups of {}", bits, cols, group));
            expect_exact(random_stream(rows, cols, bits, group, rng), tokens, rng);
          }
  });
}

TEST(PackedDot, BlocksOfGgml) {
  Rng rng(2);
  for_every_product([&] {
    for (const auto form : {CodeForm::halves, CodeForm::signed_bytes})
      for (const std::int64_t tokens : {1, 3, 40}) expect_exact(random_blocks(18, 160, form, rng), tokens, rng);
  });
}

TEST(PackedDot, LargestCodesAndActivationsDoNotOverflow) {
  Rng rng(3);
  auto c = random_stream(1, 64, 8, 64, rng);
  std::fill_n(c.bytes.begin(), 64, std::byte{255});
  c.offsets = {0}, c.scales = {1};
  Matrix<float> x(1, 64);
  for (auto& v : x.span()) v = -1;
  for_every_target([&] {
    const auto packed = pack(c.shape, x.view());
    float sum = 0;
    packed_dot(c.shape, packed.in, c.views(), &sum);
    EXPECT_FLOAT_EQ(sum, -255.0f * 64);
  });
}

TEST(WidenScales, AreExactForAnyNumberOfThem) {
  const std::vector<std::uint16_t> f16 = {0x3c00, 0x4000, 0x3800, 0x4200, 0x3c01, 0x0001, 0x3c00, 0x7bff, 0x4400};
  const std::vector<std::uint8_t> zeros = {1, 2, 3, 4, 5, 6, 7, 8, 255};
  for_every_target([&] {
    for (std::size_t count = 1; count <= f16.size(); ++count) {
      std::vector<float> scales(count + kScalePadding), offsets(scales);
      widen_scales(f16.data(), zeros.data(), 0, static_cast<std::int64_t>(count), scales.data(), offsets.data());
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(scales[i], f16_to_f32(f16[i]));
        EXPECT_EQ(offsets[i], scales[i] * zeros[i]);
      }
      widen_scales(f16.data(), nullptr, 8, static_cast<std::int64_t>(count), scales.data(), offsets.data());
      EXPECT_EQ(offsets[count - 1], 8 * f16_to_f32(f16[count - 1]));
    }
  });
}

// Rows with the code 1 in one column each show what the activations became.
TEST(PackInputs, IsWithinHalfAStepOfEachActivation) {
  Rng rng(4);
  constexpr std::int64_t kCols = 100;
  Case c(PackedShape::stream(kCols, 3, 64), kCols, packed_row_bytes(kCols, 3));
  for (std::int64_t r = 0; r < kCols; ++r) {
    std::vector<std::uint8_t> row(kCols);
    row[static_cast<std::size_t>(r)] = 1;
    pack_row(row, 3, c.bytes.data() + r * c.row_bytes);
  }
  c.scales.assign(2 * kCols, 1.0f), c.offsets.assign(2 * kCols, 0.0f);
  std::vector<float> factor(kCols);
  for (auto& f : factor) f = static_cast<float>(rng.uniform() + 0.5);
  for (const std::int64_t tokens : {1, 3, 21}) {
    Matrix<float> x(tokens, kCols);
    for (auto& v : x.span()) v = static_cast<float>(rng.normal());
    for_every_product([&] {
      const auto packed = pack(c.shape, x.view(), factor.data());
      std::vector<float> sums(static_cast<std::size_t>(kCols * tokens));
      packed_dot(c.shape, packed.in, c.views(), sums.data());
      for (std::int64_t r = 0; r < kCols; ++r)
        for (std::int64_t t = 0; t < tokens; ++t) {
          const auto value = [&](std::int64_t j) { return x(t, j) * factor[static_cast<std::size_t>(j)]; };
          float most = 0;
          for (auto j = r / 64 * 64; j < std::min(kCols, r / 64 * 64 + 64); ++j)
            most = std::max(most, std::abs(value(j)));
          EXPECT_NEAR(sums[static_cast<std::size_t>(r * tokens + t)], value(r), 0.501f * most / kPackedTop);
        }
    });
  }
}

TEST(PackInputs, NumbersThatAreNotFiniteSpreadAndTinyOnesAreZero) {
  Rng rng(5);
  auto c = random_stream(3, 192, 4, 64, rng);
  const auto product = [&](std::int64_t tokens, float first, float second, float third) {
    Matrix<float> x(tokens, 192);
    const auto last = tokens - 1;
    x(last, 0) = first, x(last, 70) = second, x(last, 130) = third;
    const auto packed = pack(c.shape, x.view());
    std::vector<float> sums(static_cast<std::size_t>(3 * tokens));
    packed_dot(c.shape, packed.in, c.views(), sums.data());
    for (std::int64_t r = 0; r < 3; ++r)
      for (std::int64_t t = 0; t < last; ++t) EXPECT_EQ(sums[static_cast<std::size_t>(r * tokens + t)], 0);
    return sums.back();
  };
  for_every_product([&] {
    for (const std::int64_t tokens : {1, 4, 7})
      for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN()}) {
        EXPECT_TRUE(std::isnan(product(tokens, 1, bad, 1)));
        EXPECT_EQ(product(tokens, 1, 1e-40f, 2), product(tokens, 1, 0, 2));
      }
  });
}

}  // namespace
}  // namespace nearplane
