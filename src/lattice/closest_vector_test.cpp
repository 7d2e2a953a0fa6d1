#include "lattice/closest_vector.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "expect_error.h"
#include "lattice/nearest_plane.h"
#include "lattice/order.h"
#include "lattice/reduction.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

constexpr std::int64_t kPlenty = 1'000'000;

// Feedback as large as the pivots: nearest plane is often wrong.
ClosestVector random_problem(std::int64_t n, std::uint64_t seed, bool finite) {
  Rng rng(seed);
  ClosestVector p{.l = {n, n}, .target = {}};
  for (std::int64_t k = 0; k < n; ++k) {
    for (std::int64_t j = 0; j < k; ++j) p.l(k, j) = rng.normal();
    p.l(k, k) = std::exp(0.5 * rng.normal());
    p.target.push_back(finite ? 4 * rng.uniform() - 0.5 : 100 * rng.normal());
  }
  if (finite) p.low = 0, p.high = 3;
  return p;
}

double brute_force(const ClosestVector& p) {
  std::vector<std::int64_t> codes(p.target.size(), p.low);
  double best = INFINITY;
  while (true) {
    best = std::min(best, error_of(p, codes));
    std::int64_t k = 0;
    while (k < p.size() && codes[k] == p.high) codes[k++] = p.low;
    if (k == p.size()) return best;
    ++codes[k];
  }
}

void expect_in_range(const ClosestVector& p, const Solution& s) {
  ASSERT_EQ(s.codes.size(), p.target.size());
  for (const auto z : s.codes) EXPECT_TRUE(z >= p.low && z <= p.high);
  EXPECT_NEAR(s.error, error_of(p, s.codes), 1e-12 * s.error);
}

TEST(ClosestVector, EnumerationIsBruteForceOnTinyProblems) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const auto p = random_problem(1 + static_cast<std::int64_t>(seed % 6), seed, true);
    const auto s = enumerate(p, kPlenty);
    expect_in_range(p, s);
    EXPECT_TRUE(s.optimal);
    EXPECT_NEAR(s.error, brute_force(p), 1e-12 * s.error);
  }
}

TEST(ClosestVector, NoSolverIsBelowTheOptimumOnThousandsOfProblems) {
  double plane = 0, beam = 0, random = 0, blocks = 0, optimum = 0;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    const auto p = random_problem(2 + static_cast<std::int64_t>(seed % 9), 1000 + seed, seed % 2 == 0);
    const auto best = enumerate(p, kPlenty);
    ASSERT_TRUE(best.optimal);
    const double least = best.error * (1 - 1e-12);
    const auto a = nearest_plane(p), b = kbest(p, 4, 2), c = randomized_plane(p, 0.3, 20, seed),
               d = enumerate_blocks(p, 3, kPlenty);
    for (const auto* s : {&a, &b, &c, &d}) {
      expect_in_range(p, *s);
      EXPECT_GE(s->error, least);
    }
    EXPECT_LE(c.error, a.error);
    EXPECT_NEAR(kbest(p, 1, 2).error, a.error, 1e-12 * a.error);
    EXPECT_NEAR(enumerate_blocks(p, 1, kPlenty).error, a.error, 1e-12 * a.error);
    plane += a.error, beam += b.error, random += c.error, blocks += d.error, optimum += best.error;
  }
  EXPECT_LT(beam, 0.9 * plane);
  EXPECT_LT(random, 0.9 * plane);
  EXPECT_LT(blocks, plane);
  EXPECT_LT(optimum, 0.98 * beam);
}

TEST(ClosestVector, ReductionSolversAreNotBelowTheOptimumEither) {
  double plane = 0, reduced = 0, embedded = 0, optimum = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const auto p = random_problem(2 + static_cast<std::int64_t>(seed % 9), 5000 + seed, false);
    const auto best = enumerate(p, kPlenty);
    ASSERT_TRUE(best.optimal);
    const auto a = reduced_plane(p, seed % 3 == 0 ? 4 : 0);
    const auto b = kannan(p, 0);
    EXPECT_GE(a.solution.error, best.error * (1 - 1e-9));
    EXPECT_GE(b.error, best.error * (1 - 1e-9));
    EXPECT_EQ(a.overflow, 0);
    expect_in_range(p, b);
    plane += nearest_plane(p).error, reduced += a.solution.error, embedded += b.error, optimum += best.error;
  }
  EXPECT_LT(reduced, 0.8 * plane);
  EXPECT_LT(embedded, 0.9 * plane);
  EXPECT_LT(reduced, 1.1 * optimum);
}

TEST(ClosestVector, OrthogonalLatticesAreSolvedByAll) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    auto p = random_problem(8, seed, seed % 2 == 0);
    for (std::int64_t k = 0; k < 8; ++k)
      for (std::int64_t j = 0; j < k; ++j) p.l(k, j) = 0;
    const auto a = nearest_plane(p);
    EXPECT_TRUE(a.optimal);
    for (const auto& s : {enumerate(p, kPlenty), kbest(p, 4, 2), randomized_plane(p, 0.1, 5, 1), kannan(p, 0)})
      EXPECT_EQ(s.codes, a.codes);
    if (seed % 2 == 1) {
      EXPECT_EQ(reduced_plane(p, 0).solution.codes, a.codes);
    }
  }
}

TEST(ClosestVector, AWideBeamVisitsEverything) {
  const auto p = random_problem(5, 3, true);
  const auto all = kbest(p, 1024, 4);
  EXPECT_TRUE(all.optimal);
  EXPECT_NEAR(all.error, brute_force(p), 1e-12 * all.error);
  EXPECT_FALSE(kbest(p, 1023, 4).optimal);
  EXPECT_FALSE(kbest(p, 1024, 3).optimal);
}

TEST(ClosestVector, ABudgetIsKeptAndSaid) {
  const auto p = random_problem(40, 4, false);
  const auto some = enumerate(p, 500);
  EXPECT_FALSE(some.optimal);
  EXPECT_EQ(some.nodes, 500);
  EXPECT_LE(some.error, nearest_plane(p).error);
  const auto none = enumerate(p, 0);
  EXPECT_EQ(none.codes, nearest_plane(p).codes);
  const auto h = random_gram(40, 400, 5);  // what layers look like: forty columns are no effort
  const auto l = factorize<double>(h, decreasing_diagonal_order(h), 0.01);
  const auto row = row_problem(l, random_grid(1, 40, 40, 3, 0.4, 6), random_weights(1, 40, 7).view(), 0);
  EXPECT_TRUE(enumerate(row, kPlenty).optimal);
}

TEST(ClosestVector, TheSameSeedIsTheSameSample) {
  const auto p = random_problem(12, 8, false);
  EXPECT_EQ(randomized_plane(p, 1.0, 10, 3).codes, randomized_plane(p, 1.0, 10, 3).codes);
  EXPECT_EQ(randomized_plane(p, 1e-12, 10, 3).codes, nearest_plane(p).codes);
}

TEST(ClosestVector, ARowOfALayerIsTheSameProblem) {
  const auto h = random_gram(30, 60, 9);
  const auto w = random_weights(6, 30, 10);
  const auto grid = random_grid(6, 30, 10, 3, 0.3, 11);
  const auto l = factorize<double>(h, decreasing_diagonal_order(h), 0.01);
  Matrix<std::uint8_t> codes(6, 30);
  const auto outcome = nearest_plane(w.view(), l, grid, codes.view());
  for (std::int64_t r = 0; r < 6; ++r) {
    const auto s = nearest_plane(row_problem(l, grid, w.view(), r));
    EXPECT_NEAR(s.error, outcome.error[r], 1e-10 * s.error);
    for (std::int64_t k = 0; k < 30; ++k) EXPECT_EQ(s.codes[k], codes(r, l.factor.order[k]));
  }
}

TEST(Reduction, FindsTheShortVectorsOfABadBasis) {
  Matrix<double> basis(2, 2);  // the integers of the plane, seen askew
  basis(0, 0) = 1, basis(0, 1) = 1000, basis(1, 0) = 0, basis(1, 1) = 1;
  for (const int block : {0, 2}) {
    const auto u = reduce(basis, block);
    EXPECT_EQ(std::abs(u(0, 0) * u(1, 1) - u(0, 1) * u(1, 0)), 1);
    for (std::int64_t k = 0; k < 2; ++k) {
      const double x = static_cast<double>(u(k, 0)), y = 1000 * x + static_cast<double>(u(k, 1));
      EXPECT_EQ(x * x + y * y, 1);
    }
  }
}

TEST(Reduction, CountsCodesOutsideTheRange) {
  auto p = random_problem(10, 12, true);
  for (auto& t : p.target) t += 2;  // targets from 1.5 to 5.5 in a range to 3
  const auto s = reduced_plane(p, 0);
  std::int64_t outside = 0;
  for (const auto z : s.solution.codes) outside += z < 0 || z > 3;
  EXPECT_EQ(s.overflow, outside);
  EXPECT_GT(s.overflow, 0);
  expect_in_range(p, kannan(p, 0));
}

TEST(ClosestVector, EmptyProblems) {
  const ClosestVector p{.l = {0, 0}, .target = {}};
  EXPECT_EQ(nearest_plane(p).error, 0);
  EXPECT_EQ(kbest(p, 8, 2).error, 0);
  EXPECT_TRUE(enumerate(p, 10).optimal);
  EXPECT_EQ(reduced_plane(p, 0).solution.error, 0);
  EXPECT_EQ(kannan(p, 0).error, 0);
  EXPECT_EQ(reduce(Matrix<double>(0, 0), 0).size(), 0);
}

TEST(ClosestVector, RefusesBadInput) {
  const auto bad = [](double value, std::int64_t i, std::int64_t j) {
    auto p = random_problem(4, 13, true);
    j < 0 ? p.target[i] = value : p.l(i, j) = value;
    return p;
  };
  for (const double value : {double{NAN}, double{INFINITY}, 1e300})
    for (const auto& p : {std::pair{2, 1}, {3, 3}, {1, -1}}) {
      const auto problem = bad(value, p.first, p.second);
      for (const auto& solver : std::initializer_list<std::function<void()>>{
               [&] { nearest_plane(problem); }, [&] { kbest(problem, 2, 2); }, [&] { enumerate(problem, 10); },
               [&] { randomized_plane(problem, 1, 1, 1); }, [&] { reduced_plane(problem, 0); },
               [&] { kannan(problem, 0); }})
        expect_error(ErrorCode::bad_input, {fmt::format("{}", value)}, solver);
    }
  for (const double pivot : {0.0, -1.0, 1e-310})
    expect_error(ErrorCode::bad_input, {"pivot 2"}, [&] { nearest_plane(bad(pivot, 2, 2)); });
  const auto p = random_problem(4, 14, true);
  expect_error(ErrorCode::bad_input, {"beam of 0"}, [&] { kbest(p, 0, 2); });
  expect_error(ErrorCode::bad_input, {"budget of -1"}, [&] { enumerate(p, -1); });
  expect_error(ErrorCode::bad_input, {"temperature"}, [&] { randomized_plane(p, 0, 1, 1); });
  expect_error(ErrorCode::bad_input, {"blocks of 1"}, [&] { reduced_plane(p, 1); });
  expect_error(ErrorCode::bad_input, {"not square"}, [] { reduce(Matrix<double>(2, 3), 0); });
  expect_error(ErrorCode::bad_input, {"vector 1", "zero"}, [] {
    Matrix<double> zero(2, 2);
    zero(0, 0) = 1;
    reduce(zero, 0);
  });
  expect_error(ErrorCode::bad_input, {"2^200"}, [] {
    Matrix<double> wide(2, 2);
    wide(0, 0) = 1e90, wide(1, 1) = 1e-90;
    reduce(wide, 0);
  });
  expect_error(ErrorCode::bad_input, {"257"}, [] { reduce(Matrix<double>(257, 257), 0); });
}

TEST(Reduction, RefusesDependentVectors) {
  Matrix<double> basis(2, 2);
  basis(0, 0) = 1, basis(0, 1) = 2, basis(1, 0) = 2, basis(1, 1) = 4;
  expect_error(ErrorCode::bad_input, {"dependent"}, [&] { reduce(basis, 0); });
}

}  // namespace
}  // namespace nearplane::lattice
