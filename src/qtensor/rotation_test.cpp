#include "qtensor/rotation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/threads.h"

namespace nearplane {
namespace {

// Signs of coordinates as the constructor takes them: all positive where the words are zero.
std::vector<double> signs(std::int64_t n, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<double> out;
  std::uint64_t word = 0;
  for (std::int64_t j = 0; j < n; ++j) {
    if (j % 64 == 0) word = rng.bits();
    out.push_back((word >> (j % 64) & 1) != 0 ? -1.0 : 1.0);
  }
  return out;
}

// K D by its definition.
Matrix<double> plain(std::int64_t n, std::uint64_t seed) {
  const auto p = odd_factor(n), width = n / p;
  const auto sign = signs(n, seed);
  Matrix<double> out(n, n);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      const auto a = i / width, b = j / width;
      const double angle = std::acos(-1.0) * static_cast<double>((2 * b + 1) * a) / static_cast<double>(2 * p);
      const double c =
          a == 0 ? std::sqrt(1.0 / static_cast<double>(p)) : std::sqrt(2.0 / static_cast<double>(p)) * std::cos(angle);
      const int parity = __builtin_popcountll(static_cast<std::uint64_t>(i % width & (j % width))) % 2;
      out(i, j) = sign[j] * c * (parity == 0 ? 1.0 : -1.0) / std::sqrt(static_cast<double>(width));
    }
  return out;
}

TEST(Rotation, OddFactors) {
  EXPECT_EQ(odd_factor(1), 1);
  EXPECT_EQ(odd_factor(576), 9);
  EXPECT_EQ(odd_factor(1536), 3);
  EXPECT_EQ(odd_factor(4096), 1);
  EXPECT_EQ(odd_factor(11008), 43);
}

TEST(Rotation, IsTheMatrixOfItsDefinitionAndItsTransposeUndoesIt) {
  for (const std::int64_t n : {1, 2, 3, 8, 15, 48, 100, 192}) {
    const auto k = plain(n, 7);
    Rng rng(7), numbers(8);
    const Rotation r(n, rng);
    std::vector<double> x;
    for (std::int64_t j = 0; j < n; ++j) x.push_back(numbers.normal());
    auto y = x;
    r.apply(y.data());
    double norm = 0, rotated_norm = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      double expected = 0;
      for (std::int64_t j = 0; j < n; ++j) {
        expected += k(i, j) * x[j];
        EXPECT_LE(std::abs(k(i, j)), std::sqrt(2.0 / static_cast<double>(n)) + 1e-12);
      }
      EXPECT_NEAR(y[i], expected, 1e-12) << n;
      norm += x[i] * x[i], rotated_norm += y[i] * y[i];
    }
    EXPECT_NEAR(rotated_norm, norm, 1e-12 * norm);
    std::vector<float> narrow(y.begin(), y.end());
    r.apply_back(y.data());
    r.apply_back(narrow.data());
    for (std::int64_t i = 0; i < n; ++i) {
      EXPECT_NEAR(y[i], x[i], 1e-12) << n;
      EXPECT_NEAR(narrow[i], x[i], 1e-5) << n;
    }
  }
}

TEST(Rotation, FourCoordinatesAreKnown) {
  Rng rng(1);
  const auto sign = signs(4, 1);
  const Rotation r(4, rng);
  std::vector<double> x = {sign[0] * 1, sign[1] * 2, sign[2] * 3, sign[3] * 4};
  r.apply(x.data());
  EXPECT_EQ(x, (std::vector<double>{5, -1, -2, 0}));
}

// What it is for: one large number among many becomes many of the same size.
TEST(Rotation, SpreadsWhatStandsOut) {
  for (const std::int64_t n : {576, 1536, 192}) {
    Rng rng(2);
    const Rotation r(n, rng);
    std::vector<double> x(static_cast<std::size_t>(n));
    x[static_cast<std::size_t>(n / 3)] = 1;
    r.apply(x.data());
    for (const double y : x) EXPECT_LE(std::abs(y), std::sqrt(2.0 / static_cast<double>(n)) + 1e-12);
  }
}

TEST(Rotation, RowsOnAnyNumberOfThreads) {
  const auto rotated = [](int threads) {
    set_thread_count(threads);
    Rng rng(3), numbers(4);
    const Rotation r(48, rng);
    Matrix<float> x(100, 48);
    for (auto& value : x.span()) value = static_cast<float>(numbers.normal());
    rotate_rows(r, x.view());
    return std::vector<float>(x.data(), x.data() + x.size());
  };
  const auto one = rotated(1);
  EXPECT_EQ(rotated(3), one);
  set_thread_count(0);
}

TEST(Rotation, TransposesMatrices) {
  Matrix<float> x(35, 18);
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = static_cast<float>(i);
  const auto y = transposed(x);
  ASSERT_EQ(y.rows(), 18);
  for (std::int64_t i = 0; i < 35; ++i)
    for (std::int64_t j = 0; j < 18; ++j) EXPECT_EQ(y(j, i), x(i, j));
}

}  // namespace
}  // namespace nearplane
