// One theorem: the four algorithms decide the same integers and make the same errors, step by step.
#include "lattice/reference.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "expect_error.h"

namespace nearplane::lattice::reference {
namespace {

using Index = std::size_t;

// Columns that share a common part and differ in size by up to e^spread.
Dense<double> random_data(Index rows, Index n, double spread, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<double> size;
  for (Index j = 0; j < n; ++j) size.push_back(std::exp(spread * (rng.uniform() - 0.5)));
  Dense<double> x(rows, std::vector<double>(n));
  for (auto& row : x) {
    const double common = rng.normal();
    for (Index j = 0; j < n; ++j) row[j] = size[j] * (2 * common + rng.normal());
  }
  return x;
}

template <class T>
Dense<T> gram(const Dense<T>& x) {
  const auto n = x[0].size();
  Dense<T> h(n, std::vector<T>(n, T(0)));
  for (const auto& row : x)
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < n; ++j) h[i][j] += row[i] * row[j];
  return h;
}

Problem<double> random_problem(Index m, Index n, double step, std::int64_t max_code, std::uint64_t seed) {
  Rng rng(seed);
  Problem<double> p;
  p.max_code = max_code;
  for (Index i = 0; i < m; ++i) {
    p.w.emplace_back(), p.step.emplace_back(), p.zero.emplace_back();
    for (Index j = 0; j < n; ++j) {
      p.w[i].push_back(rng.normal());
      p.step[i].push_back(step * (1 + rng.uniform()));
      p.zero[i].push_back(max_code < 0 ? 0.0 : static_cast<double>(max_code / 2));
    }
  }
  return p;
}

void expect_same(const Problem<double>& p, const Solution<double>& a, const Solution<double>& b, const char* name) {
  SCOPED_TRACE(name);
  ASSERT_EQ(a.codes, b.codes);
  EXPECT_EQ(a.clipped, b.clipped);
  for (Index row = 0; row < p.w.size(); ++row) {
    const auto left = error_vector(p, a, row), right = error_vector(p, b, row);
    double length = 0;
    for (const double e : left) length += e * e;
    for (Index k = 0; k < left.size(); ++k) EXPECT_NEAR(left[k], right[k], 1e-9 * std::max(1.0, std::sqrt(length)));
  }
}

void expect_all_agree(const Problem<double>& p, const Dense<double>& x) {
  const auto h = gram(x);
  const auto plane = nearest_plane(p, h);
  ASSERT_GT(plane.margin, 1e-9);  // no ties
  expect_same(p, plane, obq(p, h), "OBQ");
  expect_same(p, plane, gptq(p, h), "GPTQ");
  expect_same(p, plane, gptq_back_to_front(p, h), "GPTQ back to front");
  expect_same(p, plane, nearest_plane_in_data_space(p, x), "data space");
}

TEST(Reference, AllAgreeOnRandomLayers) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const Index n = 1 + seed % 12;
    expect_all_agree(random_problem(4, n, 0.3, -1, seed), random_data(3 * n, n, 1, seed + 100));
  }
  expect_all_agree(random_problem(3, 40, 0.1, -1, 1), random_data(90, 40, 1, 2));
}

TEST(Reference, AllAgreeWhereCodesAreClipped) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto p = random_problem(4, 10, 0.05, 7, seed);
    const auto x = random_data(30, 10, 1, seed + 100);
    EXPECT_GT(nearest_plane(p, gram(x)).clipped, 10);
    expect_all_agree(p, x);
  }
}

TEST(Reference, AllAgreeOnIllConditionedLayers) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Index n = 12;
    auto x = random_data(40, n, 0, seed);  // pairs that differ by a tenth, of sizes up to e^5 apart
    for (auto& row : x)
      for (Index j = 1; j < n; j += 2) row[j] = row[j - 1] + 0.1 * row[j];
    for (auto& row : x)
      for (Index j = 0; j < n; ++j) row[j] *= std::exp(5 * std::sin(static_cast<double>(j * seed)) / 2);
    expect_all_agree(random_problem(4, n, 0.2, 15, seed + 100), x);
    expect_all_agree(random_problem(4, n, 0.2, -1, seed + 100), x);
  }
}

TEST(Reference, ErrorIsTheSumOfSquares) {
  const auto x = random_data(30, 9, 2, 5);
  for (const std::int64_t max_code : {-1, 3}) {
    const auto p = random_problem(3, 9, 0.2, max_code, 6);
    const auto s = nearest_plane_in_data_space(p, x);
    for (Index row = 0; row < 3; ++row) {
      double direct = 0, identity = 0;
      for (const auto& sample : x) {
        double y = 0;
        for (Index k = 0; k < 9; ++k) y += sample[k] * (p.w[row][k] - p.point(row, k, s.codes[row][k]));
        direct += y * y;
      }
      for (const double e : error_vector(p, s, row)) identity += e * e;
      EXPECT_NEAR(identity, direct, 1e-12 * direct);
    }
  }
}

// Where the equality ends.
TEST(Reference, OtherProblemsGiveOtherIntegers) {
  const Index n = 16;
  const auto p = random_problem(8, n, 0.2, -1, 7);
  const auto h = gram(random_data(20, n, 1, 8));
  const auto plain = nearest_plane(p, h);
  EXPECT_NE(plain.codes, obq_with_slices_of_one_inverse(p, h).codes);
  auto damped = h;
  for (Index j = 0; j < n; ++j) damped[j][j] *= 1.5;
  EXPECT_NE(plain.codes, gptq(p, damped).codes);
}

TEST(Reference, SliceOfTheInverseIsRightForTwoCoordinatesOnly) {
  const auto p = random_problem(50, 2, 0.2, -1, 9);
  const auto h = gram(random_data(10, 2, 1, 10));
  EXPECT_EQ(obq(p, h).codes, obq_with_slices_of_one_inverse(p, h).codes);
  EXPECT_NE(obq(p, h).pivots, obq_with_slices_of_one_inverse(p, h).pivots);
}

TEST(Reference, ExactTiesAreSettledAlikeByAll) {
  // X^T X = [[5, 2], [2, 4]], step 1: w = (1/2, 1/4) ties at once; rounded to 0, c_2 = 1/4 + 1/2 x 1/2 ties again.
  const Dense<Fraction> x{{2, 0}, {1, 2}};
  Problem<Fraction> p{.w = {{{1, 2}, {1, 4}}}, .step = {{1, 1}}, .zero = {{0, 0}}};
  const auto h = gram(x);
  for (const auto& s :
       {obq(p, h), gptq(p, h), gptq_back_to_front(p, h), nearest_plane(p, h), nearest_plane_in_data_space(p, x)}) {
    EXPECT_EQ(s.codes, (Dense<std::int64_t>{{0, 0}}));
    EXPECT_EQ(s.targets, (Dense<Fraction>{{{1, 2}, {1, 2}}}));
    EXPECT_EQ(s.pivots, (std::vector<Fraction>{4, 4}));
    EXPECT_EQ(s.margin, 0);
  }
}

TEST(Reference, ExactArithmeticOnRandomSmallLattices) {
  Rng rng(11);
  const auto draw = [&](std::int64_t span) { return static_cast<std::int64_t>(rng.below(2 * span + 1)) - span; };
  int ties = 0;
  for (int trial = 0; trial < 200; ++trial) {
    Dense<Fraction> x(5, std::vector<Fraction>(3));
    for (auto& row : x)
      for (auto& value : row) value = draw(3);
    for (Index k = 0; k < 3; ++k) x[k + 1][k] = 5;  // far from dependent
    Problem<Fraction> p{
        .w = {{{draw(9), 4}, {draw(9), 4}, {draw(9), 4}}}, .step = {{1, {1, 2}, 1}}, .zero = {{2, 2, 2}}};
    p.max_code = trial % 2 ? 4 : -1;
    const auto h = gram(x);
    const auto a = obq(p, h);
    for (const auto& b :
         {gptq(p, h), gptq_back_to_front(p, h), nearest_plane(p, h), nearest_plane_in_data_space(p, x)}) {
      EXPECT_EQ(a.codes, b.codes);
      EXPECT_EQ(a.targets, b.targets);
      EXPECT_EQ(a.pivots, b.pivots);
    }
    ties += a.margin == 0;
  }
  EXPECT_GT(ties, 20);
}

TEST(ObsStep, LeavesTheLeastErrorThatTheChangeAllows) {
  const auto h = gram(random_data(20, 6, 1, 12));
  const auto cost = [&](const std::vector<double>& d) {
    double sum = 0;
    for (Index i = 0; i < 6; ++i)
      for (Index j = 0; j < 6; ++j) sum += d[i] * h[i][j] * d[j];
    return sum;
  };
  const auto step = obs_step(h, 2, -0.7);
  EXPECT_NEAR(step.delta[2], -0.7, 1e-14);
  EXPECT_NEAR(step.cost, cost(step.delta), 1e-12 * step.cost);
  for (Index j = 0; j < 6; ++j) {  // moving any other weight from there costs more
    if (j == 2) continue;
    for (const double move : {-1e-3, 1e-3}) {
      auto other = step.delta;
      other[j] += move;
      EXPECT_GT(cost(other), step.cost);
    }
  }
}

TEST(ObsStep, IsTheFirstStepOfObq) {
  const auto h = gram(random_data(20, 5, 1, 13));
  const auto p = random_problem(1, 5, 0.4, -1, 14);
  const auto s = obq(p, h);
  const auto step = obs_step(h, 0, p.point(0, 0, s.codes[0][0]) - p.w[0][0]);
  EXPECT_NEAR(s.targets[0][1], p.w[0][1] + step.delta[1], 1e-12);  // before any other weight is decided
  EXPECT_NEAR(step.cost, std::pow(error_vector(p, s, 0)[0], 2), 1e-12);
}

TEST(Reference, HopelessProblemsAreErrors) {
  const auto p = random_problem(1, 2, 0.3, -1, 15);
  const Dense<double> indefinite{{1, 2}, {2, 1}}, singular{{1, 1}, {1, 1}}, nothing{{std::nan(""), 0}, {0, 1}};
  for (const auto& h : {indefinite, singular, nothing}) {
    expect_error(ErrorCode::numerical, {"not positive definite"}, [&] { obq(p, h); });
    expect_error(ErrorCode::numerical, {"not positive definite"}, [&] { gptq(p, h); });
    expect_error(ErrorCode::numerical, {"not positive definite"}, [&] { gptq_back_to_front(p, h); });
    expect_error(ErrorCode::numerical, {"not positive definite"}, [&] { nearest_plane(p, h); });
  }
  expect_error(ErrorCode::numerical, {"dependent columns", "0"}, [&] { nearest_plane_in_data_space(p, {{1, 1}}); });
  auto huge = p;
  huge.w[0][0] = 1e300;
  expect_error(ErrorCode::numerical, {"no integer"}, [&] { nearest_plane(huge, {{1, 0}, {0, 1}}); });
  EXPECT_TRUE(nearest_plane(Problem<double>{}, {}).codes.empty());  // n = m = 0
  EXPECT_TRUE(nearest_plane_in_data_space(Problem<double>{}, {}).codes.empty());
}

}  // namespace
}  // namespace nearplane::lattice::reference
