#include "lattice/predict.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <vector>

#include "base/rng.h"

namespace nearplane::lattice {
namespace {

constexpr int kGroup = 64;

// All levels of a sign-exponent-mantissa grid, not negative, the largest 1.
std::vector<double> float_levels(int exponent, int mantissa) {
  std::vector<double> out;
  for (int e = 0; e < 1 << exponent; ++e)
    for (int m = 0; m < 1 << mantissa; ++m)
      out.push_back(e == 0 ? std::ldexp(m, 1 - mantissa) : std::ldexp((1 << mantissa) + m, e - mantissa));
  const double largest = out.back();
  for (auto& level : out) level /= largest;
  return out;
}

std::vector<double> integer_levels(int bits) {
  std::vector<double> out;
  const int largest = (1 << (bits - 1)) - 1;
  for (int z = 0; z <= largest; ++z) out.push_back(static_cast<double>(z) / largest);
  return out;
}

// Mean squared error of weights of variance 4 drawn and rounded.
double measured(const std::vector<double>& levels) {
  Rng rng(1);
  double sum = 0;
  constexpr int kGroups = 3000;
  for (int g = 0; g < kGroups; ++g) {
    double w[kGroup], largest = 0;
    for (auto& value : w) value = 2 * std::abs(rng.normal()), largest = std::max(largest, value);
    for (const double value : w) {
      const auto above = std::lower_bound(levels.begin(), levels.end(), value / largest);
      double distance = above == levels.end() ? 1.0 : *above - value / largest;
      if (above != levels.begin()) distance = std::min(distance, value / largest - *(above - 1));
      sum += std::pow(largest * distance, 2);
    }
  }
  return sum / (kGroups * kGroup);
}

TEST(Predict, IntegersByTheirRate) {
  for (const auto& [bits, tolerance] : {std::pair{2, 0.12}, {3, 0.01}, {4, 0.01}, {5, 0.01}, {8, 0.01}}) {
    const double want = measured(integer_levels(bits));
    EXPECT_NEAR(absmax_integer_error(4, kGroup, bits), want, tolerance * want) << bits;
  }
}

TEST(Predict, FloatsByTheirMantissa) {
  for (const auto& [exponent, mantissa, tolerance] :
       {std::tuple{3, 0, 0.1}, {2, 1, 0.04}, {1, 2, 0.01}, {3, 2, 0.01}, {5, 2, 0.01}, {2, 3, 0.01}, {4, 3, 0.01}}) {
    const double want = measured(float_levels(exponent, mantissa));
    EXPECT_NEAR(absmax_float_error(4, kGroup, exponent, mantissa), want, tolerance * want) << exponent << mantissa;
  }
}

TEST(Predict, OneWeightPerScaleIsFree) {
  EXPECT_EQ(absmax_integer_error(1, 1, 4), 0);
  EXPECT_EQ(absmax_float_error(1, 1, 2, 1), 0);
}

TEST(Predict, TwoWeightsByHand) {
  // E max(z1^2, z2^2) = 1 + 2 / pi for two standard normals.
  EXPECT_NEAR(absmax_integer_error(1, 2, 3), 0.5 * (1 + 2 / M_PI) / (9 * 12), 1e-6);
}

}  // namespace
}  // namespace nearplane::lattice
