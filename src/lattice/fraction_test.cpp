#include "lattice/fraction.h"

#include <gtest/gtest.h>

#include "expect_error.h"

namespace nearplane::lattice {
namespace {

TEST(Fraction, ArithmeticIsExactAndInLowestTerms) {
  EXPECT_EQ(Fraction(1, 6) + Fraction(1, 10), Fraction(4, 15));
  EXPECT_EQ(Fraction(1, 6) - Fraction(1, 6), Fraction(0));
  EXPECT_EQ(Fraction(-4, 6) * Fraction(9, -10), Fraction(3, 5));
  EXPECT_EQ(Fraction(1, 3) / Fraction(-2, 3), Fraction(-1, 2));
  EXPECT_EQ(static_cast<double>(Fraction(-6, 8)), -0.75);
  EXPECT_TRUE(Fraction(1, 7).positive());
  EXPECT_FALSE(Fraction(0).positive());
}

TEST(Fraction, NearestIntegerAndTies) {
  const auto nearest = [](std::int64_t over, std::int64_t under) { return Fraction(over, under).nearest(); };
  EXPECT_EQ(nearest(7, 3), 2);
  EXPECT_EQ(nearest(-7, 3), -2);
  EXPECT_EQ(nearest(-8, 3), -3);
  EXPECT_EQ(nearest(5, 2), 2);
  EXPECT_EQ(nearest(7, 2), 4);
  EXPECT_EQ(nearest(-1, 2), 0);
  EXPECT_EQ(nearest(-3, 2), -2);
  EXPECT_EQ(nearest(-5, 2), -2);
  EXPECT_EQ(nearest(-4, 1), -4);
  EXPECT_TRUE(Fraction(-6, 4).tie());
  EXPECT_FALSE(Fraction(5, 3).tie());
}

TEST(Fraction, NeverWraps) {
  Fraction big(INT64_MAX);
  expect_error(ErrorCode::numerical, {"128 bits"}, [&] {
    for (int i = 0; i < 3; ++i) big = big * big;
  });
  expect_error(ErrorCode::numerical, {"division by zero"}, [] { Fraction(1, 0); });
  expect_error(ErrorCode::numerical, {"division by zero"}, [] { Fraction(1) / Fraction(0); });
}

}  // namespace
}  // namespace nearplane::lattice
