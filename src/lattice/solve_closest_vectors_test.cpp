// The public door: all solvers on the same problems against enumeration, identities, and everything it must refuse.
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "base/threads.h"
#include "expect_error.h"
#include "nearplane/lattice.h"

namespace nearplane {
namespace {

LatticeProblem random_problem(std::int64_t m, std::int64_t n, std::uint64_t seed) {
  Rng rng(seed);
  const std::int64_t t = n + 8;
  std::vector<double> x(static_cast<std::size_t>(t * n));
  for (std::int64_t i = 0; i < t; ++i) {
    const double common = rng.normal();
    for (std::int64_t j = 0; j < n; ++j) x[i * n + j] = (1 + 0.1 * static_cast<double>(j)) * (common + rng.normal());
  }
  LatticeProblem p;
  p.rows = m, p.columns = n;
  p.gram.resize(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t k = 0; k < t; ++k) p.gram[i * n + j] += x[k * n + i] * x[k * n + j];
  p.data = x;
  for (std::int64_t i = 0; i < m * n; ++i) p.target.push_back(3 * rng.normal());
  for (std::int64_t j = 0; j < n; ++j) p.step.push_back(0.5 + rng.uniform());
  return p;
}

LatticeProblem from_gram(LatticeProblem p) {
  p.data.clear();
  return p;
}
LatticeProblem from_data(LatticeProblem p) {
  p.gram.clear();
  return p;
}

// (w-q)^T H (w-q) of a row, from its codes alone.
double direct_error(const LatticeProblem& p, const std::vector<std::int64_t>& codes, std::int64_t row) {
  const auto n = p.columns;
  std::vector<double> d(static_cast<std::size_t>(n));
  for (std::int64_t j = 0; j < n; ++j) {
    const double zero = p.zero.empty() ? 0 : p.zero[j];
    d[j] = p.target[row * n + j] - p.step[j] * (static_cast<double>(codes[row * n + j]) - zero);
  }
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j) sum += d[i] * p.gram[i * n + j] * d[j];
  return sum;
}

constexpr LatticeSolver kAll[] = {LatticeSolver::nearest_plane, LatticeSolver::gptq,         LatticeSolver::obq,
                                  LatticeSolver::kbest,         LatticeSolver::klein,        LatticeSolver::enumeration,
                                  LatticeSolver::embedding,     LatticeSolver::reduced_plane};

TEST(Lattice, EverySolverReportsItsErrorAndNoneIsBelowTheOptimum) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const auto full = random_problem(3, 6, seed);
    auto p = from_gram(full);
    if (seed % 2 == 1) p.bounded = true, p.low = -3, p.high = 4, p.zero.assign(6, 0.25);
    LatticeOptions best;
    best.solver = LatticeSolver::enumeration;
    const auto optimum = solve_closest_vectors(p, best);
    for (const auto solver : kAll) {
      if (p.bounded && solver == LatticeSolver::reduced_plane) continue;
      LatticeOptions o;
      o.solver = solver, o.order = LatticeOrder::act;
      const auto s = solve_closest_vectors(p, o);
      for (std::int64_t i = 0; i < 3; ++i) {
        EXPECT_NEAR(s.error[i], direct_error(p, s.codes, i), 1e-9 * (1 + s.error[i]));
        EXPECT_GE(s.error[i], optimum.error[i] * (1 - 1e-9)) << static_cast<int>(solver);
        EXPECT_TRUE(optimum.optimal[i]);
        if (s.optimal[i]) {
          EXPECT_NEAR(s.error[i], optimum.error[i], 1e-9 * (1 + s.error[i]));
        }
        double squares = 0;
        for (std::int64_t k = 0; k < 6; ++k) squares += s.errors[i * 6 + k] * s.errors[i * 6 + k];
        EXPECT_NEAR(squares, s.error[i], 1e-12 * (1 + squares));
      }
    }
  }
}

TEST(Lattice, GptqObqAndBothSpacesDecideAsNearestPlane) {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    const auto full = random_problem(4, 12, 100 + seed);
    LatticeOptions o;
    o.order = LatticeOrder::min_pivot, o.damping = 0.01;
    const auto plane = solve_closest_vectors(from_gram(full), o);
    EXPECT_EQ(solve_closest_vectors(from_data(full), o).codes, plane.codes);
    for (const auto solver : {LatticeSolver::gptq, LatticeSolver::obq}) {
      o.solver = solver;
      EXPECT_EQ(solve_closest_vectors(from_gram(full), o).codes, plane.codes);
    }
    for (std::int64_t i = 0; i < 4; ++i) EXPECT_LE(plane.error[i], plane.bound[i]);
  }
}

TEST(Lattice, DescentNeverHurtsAndEndsWhereNoSingleChangeHelps) {
  const auto p = from_gram(random_problem(20, 10, 7));
  LatticeOptions o;
  const auto plane = solve_closest_vectors(p, o);
  o.descent = 100;
  const auto better = solve_closest_vectors(p, o);
  int improved = 0;
  for (std::int64_t i = 0; i < 20; ++i) {
    EXPECT_LE(better.error[i], plane.error[i] * (1 + 1e-12));
    improved += better.error[i] < plane.error[i] * (1 - 1e-9);
    for (std::int64_t j = 0; j < 10; ++j)
      for (const int d : {-1, 1}) {
        auto codes = better.codes;
        codes[i * 10 + j] += d;
        EXPECT_GE(direct_error(p, codes, i), better.error[i] * (1 - 1e-9));
      }
  }
  EXPECT_GT(improved, 0);
}

TEST(Lattice, ThreadsAndSeedsDecideNothingButWhatTheySay) {
  const auto p = from_gram(random_problem(9, 14, 8));
  LatticeOptions o;
  o.solver = LatticeSolver::klein;
  const auto first = solve_closest_vectors(p, o);
  set_thread_count(1);
  EXPECT_EQ(solve_closest_vectors(p, o).codes, first.codes);
  set_thread_count(0);
  o.tries = 1, o.temperature = 1e6;
  const auto hot = solve_closest_vectors(p, o).codes;
  o.seed = 1000;
  EXPECT_NE(solve_closest_vectors(p, o).nodes.size(), 0u);
  EXPECT_EQ(hot.size(), first.codes.size());
}

TEST(Lattice, DeadColumnsAreRoundedSingularMatricesRepaired) {
  LatticeProblem p;
  p.rows = 1, p.columns = 3;
  p.gram = {4, 0, 4, 0, 0, 0, 4, 0, 4};  // column 1 never moves, 0 and 2 are the same
  p.target = {0.6, 2.4, 0.6}, p.step = {1, 1, 1};
  const auto s = solve_closest_vectors(p, {});
  EXPECT_EQ(s.order, (std::vector<std::int64_t>{0, 2}));
  EXPECT_EQ(s.codes[1], 2);
  EXPECT_EQ(s.codes[0] + s.codes[2], 1);  // 1.2 between them
  EXPECT_GT(s.repairs, 0);
  EXPECT_GT(s.damping, 0);
}

TEST(Lattice, EmptyProblemsAreFine) {
  EXPECT_TRUE(solve_closest_vectors({}, {}).codes.empty());
  auto p = from_gram(random_problem(0, 4, 1));
  EXPECT_EQ(solve_closest_vectors(p, {}).order.size(), 4u);
}

TEST(Lattice, TheLimitIsThatOfKnownSpectra) {
  const auto values = gram_eigenvalues({2, 1, 1, 2}, 2);
  EXPECT_NEAR(values[0], 1, 1e-12);
  EXPECT_NEAR(values[1], 3, 1e-12);
  EXPECT_NEAR(lattice_error_limit(values, {1}, 4), 2 * std::sqrt(3.0) / 256, 1e-9);
  EXPECT_NEAR(lattice_error_limit(values, {1, 2}, 0), 12, 1e-9);
}

void refused(const std::vector<std::string>& parts, const LatticeProblem& p, const LatticeOptions& o = {}) {
  try {
    solve_closest_vectors(p, o);
    ADD_FAILURE() << "accepted: " << parts.front();
  } catch (const Error& error) {
    for (const auto& part : parts) EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Lattice, RefusesWhatCannotBeMeant) {
  const auto good = from_gram(random_problem(2, 4, 3));
  auto p = good;
  p.gram[5] = NAN;
  refused({"gram", "(1, 1)", "nan"}, p);
  p = good, p.gram[6] += 1;
  refused({"gram", "symmetric"}, p);
  p = good, p.gram.pop_back();
  refused({"gram", "15", "4 x 4"}, p);
  p = good, p.target[7] = 1e300;
  refused({"target", "(1, 3)", "1e+300"}, p);
  p = good, p.step[2] = 0;
  refused({"step", "2", "0"}, p);
  p = good, p.step[2] = 1e-310;
  refused({"step", "1e-310"}, p);
  p = good, p.bounded = true, p.low = 3, p.high = 1;
  refused({"range", "3", "1"}, p);
  p = good, p.data = {1, 2, 3, 4};
  refused({"either"}, p);
  LatticeOptions o;
  o.order = LatticeOrder::given, o.given_order = {0, 1, 1, 3};
  refused({"order", "1"}, good, o);
  o = {}, o.solver = LatticeSolver::reduced_plane;
  p = good, p.bounded = true, p.high = 5;
  refused({"range"}, p, o);
  o = {}, o.solver = LatticeSolver::obq;
  refused({"gram"}, from_data(random_problem(2, 4, 3)), o);
  o = {}, o.beam = 0;
  refused({"beam"}, good, o);
}

}  // namespace
}  // namespace nearplane
