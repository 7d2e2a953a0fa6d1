#include "lattice/spectrum.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

double mean_log2(const Spectrum& spectrum) {
  double sum = 0;
  for (std::size_t i = 0; i < spectrum.values.size(); ++i)
    sum += spectrum.counts[i] * std::log2(spectrum.values[i]) / spectrum.dimension();
  return sum;
}

TEST(Spectrum, TwoDimensionsByHand) {
  Matrix<double> h(2, 2);  // [[2, 1], [1, 2]]: 1 and 3
  h(0, 0) = h(1, 1) = 2, h(1, 0) = 1, h(0, 1) = std::nan("");
  const auto spectrum = exact_spectrum(h);
  ASSERT_EQ(spectrum.values.size(), 2);
  EXPECT_NEAR(spectrum.values[0], 1, 1e-14);
  EXPECT_NEAR(spectrum.values[1], 3, 1e-14);
  EXPECT_EQ(spectrum.dimension(), 2);
  EXPECT_TRUE(exact_spectrum(Matrix<double>(0, 0)).values.empty());
}

TEST(Spectrum, NeverNegative) {
  const auto h = random_gram(60, 5, 1);
  const auto spectrum = exact_spectrum(h);
  EXPECT_GE(spectrum.values.front(), 0);
  EXPECT_LT(spectrum.values[54], 1e-10 * spectrum.values.back());
  EXPECT_GT(spectrum.values[55], 1e-3 * spectrum.values.back());
}

TEST(Spectrum, EstimateIsExactForSmallMatricesAndForMultiplesOfOne) {
  const auto h = random_gram(100, 150, 2);
  EXPECT_EQ(estimated_spectrum(h).values, exact_spectrum(h).values);
  Matrix<double> unit(200, 200);
  for (std::int64_t j = 0; j < 200; ++j) unit(j, j) = 5;
  const auto spectrum = estimated_spectrum(unit);  // every probe ends after one step
  for (const double value : spectrum.values) EXPECT_NEAR(value, 5, 1e-12);
  EXPECT_NEAR(spectrum.dimension(), 200, 1e-9);
  for (const double value : estimated_spectrum(Matrix<double>(200, 200)).values) EXPECT_EQ(value, 0);
}

TEST(Spectrum, EstimateMeetsItsStandardError) {
  for (const std::int64_t n : {200, 500}) {
    const auto h = random_gram(n, 2 * n, 3);
    const auto exact = exact_spectrum(h), estimate = estimated_spectrum(h);
    EXPECT_NEAR(estimate.dimension(), static_cast<double>(n), 1e-6);
    EXPECT_NEAR(mean_log2(estimate), mean_log2(exact), 3 * 2 * std::sqrt(2.0 / (32.0 * static_cast<double>(n)))) << n;
    EXPECT_NEAR(estimate.values.back(), exact.values.back(), 1e-6 * exact.values.back());
  }
}

TEST(Spectrum, SameBitsForAnyNumberOfThreads) {
  const auto h = random_gram(300, 400, 4);
  set_thread_count(1);
  const auto one = estimated_spectrum(h);
  set_thread_count(3);
  const auto many = estimated_spectrum(h);
  set_thread_count(0);
  EXPECT_EQ(one.values, many.values);
  EXPECT_EQ(one.counts, many.counts);
}

}  // namespace
}  // namespace nearplane::lattice
