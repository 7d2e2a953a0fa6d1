#include "lattice/list_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/threads.h"
#include "codec/trellis_search.h"
#include "every_target.h"
#include "lattice/list_reference.h"
#include "lattice/nearest_plane.h"
#include "lattice/order.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

struct Solved {
  Matrix<std::int16_t> levels;
  ListOutcome outcome;

  double total() const {
    double sum = 0;
    for (const double e : outcome.error) sum += e;
    return sum;
  }
};

template <class T>
Solved solve(const Matrix<float>& t, const Triangle<T>& l, const ListOptions& options, const LevelCosts& costs) {
  Solved out{Matrix<std::int16_t>(t.rows(), t.cols()), {}};
  out.outcome = list_search(t.view(), l, options, costs, out.levels.view());
  return out;
}
Solved reference(const Matrix<float>& t, const Triangle<double>& l, const ListOptions& options,
                 const LevelCosts& costs) {
  Solved out{Matrix<std::int16_t>(t.rows(), t.cols()), {}};
  out.outcome = list_search_reference(t.view(), l, options, costs, out.levels.view());
  return out;
}

bool same(const Solved& a, const Solved& b) {
  return std::equal(a.levels.span().begin(), a.levels.span().end(), b.levels.data());
}

ListOptions options(int states, int survivors, double lambda, std::int64_t restart = 144) {
  return {.trellis = *find_trellis(states), .survivors = survivors, .lambda = lambda, .restart = restart};
}

// Three classes of Laplace-like lengths.
LevelCosts laplace_costs(std::int64_t m, std::int64_t n, int reach) {
  LevelCosts costs{.classes = 3, .reach = reach, .bits = {}, .row_class = {}, .column_class = {}, .slope = 0.7f};
  for (int c = 0; c < 3; ++c)
    for (int quantizer = 0; quantizer < 2; ++quantizer)
      for (int level = -reach; level <= reach; ++level)
        costs.bits.push_back(0.9f + 0.3f * static_cast<float>(c + quantizer) +
                             static_cast<float>(std::abs(level)) * (2.2f - 0.5f * static_cast<float>(c)) +
                             (level > 0 ? 0.07f : 0.0f));
  for (std::int64_t i = 0; i < m; ++i) costs.row_class.push_back(static_cast<int>(i % 6));
  for (std::int64_t j = 0; j < n; ++j) costs.column_class.push_back(static_cast<int>(j % 3));
  return costs;
}

// Targets in steps of a size of their own, and a factor in the order of storage.
struct Problem {
  Matrix<float> t;
  Matrix<double> h;
  LevelCosts costs;

  Problem(std::int64_t m, std::int64_t n, double steps, std::uint64_t seed)
      : t(random_weights(m, n, seed)), h(random_gram(n, n + n / 4 + 4, seed + 1)), costs(laplace_costs(m, n, 4)) {
    for (auto& x : t.span()) x *= static_cast<float>(steps);
  }
  template <class T = double>
  Triangle<T> factor() const {
    return factorize<T>(h, natural_order(h), 0.01);
  }
};

Triangle<double> diagonal(const std::vector<double>& pivots) {
  const auto n = static_cast<std::int64_t>(pivots.size());
  Triangle<double> l{{.dimension = n, .order = {}, .pivots = pivots}, Matrix<double>(n, n)};
  for (std::int64_t k = 0; k < n; ++k) l.factor.order.push_back(k), l.rows(k, k) = 1;
  return l;
}

double price(const Factor& f, double lambda) {
  double squares = 0;
  for (const double p : f.pivots) squares += p * p;
  return lambda * squares / static_cast<double>(f.rank());
}

double bits_of(const LevelCosts& costs, std::int64_t row, std::int64_t column, int quantizer, int level) {
  const int kind = std::clamp(costs.row_class[row] - costs.column_class[column], 0, costs.classes - 1);
  const int inside = std::clamp(level, -costs.reach, costs.reach);
  return costs.bits[(kind * 2 + quantizer) * (2 * costs.reach + 1) + inside + costs.reach] +
         costs.slope * static_cast<float>(std::abs(level - inside));
}

struct Value {
  double error = 0, bits = 0;
};

// d^T (H + shift) d and the code length of a row's levels, from the definitions.
Value value_of(const Problem& p, const Triangle<double>& l, const ListOptions& o, const std::int16_t* levels,
               std::int64_t row) {
  Value v;
  std::vector<double> d;
  int state = 0;
  for (std::int64_t j = 0; j < p.t.cols(); ++j) {
    if (j % o.restart == 0) state = 0;
    d.push_back(p.t(row, j) - static_cast<double>(o.trellis.point(state, levels[j])) / o.trellis.points_per_step());
    v.bits += bits_of(p.costs, row, j, Trellis::quantizer(state), levels[j]);
    state = o.trellis.next(state, levels[j]);
  }
  for (const auto i : l.factor.order) {
    for (const auto j : l.factor.order) v.error += d[i] * p.h(i, j) * d[j];
    v.error += d[i] * l.factor.shift * d[i];
  }
  return v;
}

TEST(ListSearch, WithOneStateAndSurvivorIsNearestPlane) {
  const Problem p(140, 200, 2.5, 1);
  const auto l = p.factor();
  Grid grid{.group = 200, .max_code = 255, .step = Matrix<float>(140, 1), .zero = Matrix<float>(140, 1)};
  for (auto& s : grid.step.span()) s = 1;
  for (auto& z : grid.zero.span()) z = 128;
  Matrix<std::uint8_t> codes(140, 200);
  const auto plane = nearest_plane(p.t.view(), l, grid, codes.view());
  ASSERT_EQ(plane.clipped, 0);
  const auto solved = solve(p.t, l, options(1, 1, 0), {});
  for (std::int64_t i = 0; i < codes.size(); ++i) ASSERT_EQ(solved.levels.data()[i], codes.data()[i] - 128);
  for (std::size_t i = 0; i < plane.error.size(); ++i)
    EXPECT_NEAR(solved.outcome.error[i], plane.error[i], 1e-10 * plane.error[i]);
  EXPECT_EQ(solved.outcome.bits, 0);
}

TEST(ListSearch, EqualsTheReferenceWhileAllColumnsAreOpen) {
  for (const int states : {1, 4, 8, 16})
    for (const int survivors : {1, 2, 4})
      for (const std::int64_t n : {1, 15, 16, 17, 64}) {
        SCOPED_TRACE(testing::Message() << states << " x " << survivors << ", n " << n);
        const Problem p(20, n, 1.5, 10);
        const auto o = options(states, survivors, 0.06, 24);
        const auto want = reference(p.t, p.factor(), o, p.costs), have = solve(p.t, p.factor(), o, p.costs);
        EXPECT_TRUE(same(have, want));
        EXPECT_NEAR(have.total(), want.total(), 1e-9 * want.total());
        EXPECT_NEAR(have.outcome.bits, want.outcome.bits, 1e-6 * want.outcome.bits);
      }
}

TEST(ListSearch, EqualsTheReferenceOnEveryTarget) {
  const Problem p(20, 60, 1.5, 20);
  for_every_target([&] {
    for (const auto& [states, survivors] : {std::pair{1, 1}, {1, 8}, {4, 1}, {8, 4}}) {
      const auto o = options(states, survivors, 0.06, 24);
      const auto want = reference(p.t, p.factor(), o, p.costs);
      EXPECT_TRUE(same(solve(p.t, p.factor(), o, p.costs), want)) << states << " x " << survivors;
      const auto rough = solve(p.t, p.factor<float>(), o, p.costs);
      int equal = 0;
      for (std::int64_t i = 0; i < 20; ++i) {
        const auto v = value_of(p, p.factor(), o, rough.levels.row(i), i);
        EXPECT_NEAR(rough.outcome.error[static_cast<std::size_t>(i)], v.error, 1e-4 * v.error);
        equal += std::equal(want.levels.row(i), want.levels.row(i) + 60, rough.levels.row(i));
      }
      EXPECT_GE(equal, 16) << states << " x " << survivors;  // the rest are ties within rounding
    }
  });
}

TEST(ListSearch, ClosingColumnsHardlyCosts) {
  const Problem p(30, 300, 1.0, 30);
  const auto l = p.factor();
  const double bit = price(l.factor, 0.06);
  for (const auto& [states, survivors] : {std::pair{1, 8}, {4, 1}, {8, 2}}) {
    const auto o = options(states, survivors, 0.06);
    const auto have = solve(p.t, l, o, p.costs), want = reference(p.t, l, o, p.costs);
    const double best = want.total() + bit * want.outcome.bits;
    EXPECT_NEAR(have.total() + bit * have.outcome.bits, best, 2e-3 * best) << states << " x " << survivors;
  }
}

TEST(ListSearch, SameBitsForAnyNumberOfThreads) {
  const Problem p(300, 200, 1.0, 40);
  const auto l = p.factor<float>();
  set_thread_count(1);
  const auto one = solve(p.t, l, options(4, 2, 0.06), p.costs);
  set_thread_count(3);
  const auto many = solve(p.t, l, options(4, 2, 0.06), p.costs);
  set_thread_count(0);
  EXPECT_TRUE(same(one, many));
  EXPECT_EQ(one.outcome.error, many.outcome.error);
  EXPECT_EQ(one.outcome.bits, many.outcome.bits);
}

TEST(ListSearch, ErrorAndBitsAreThoseOfTheLevels) {
  const Problem p(9, 150, 1.5, 2);
  const auto l = p.factor();
  for (const auto& [states, survivors] : {std::pair{1, 1}, {1, 4}, {4, 2}, {8, 1}, {16, 2}}) {
    const auto o = options(states, survivors, 0.08, 48);
    const auto solved = solve(p.t, l, o, p.costs);
    double bits = 0;
    for (std::int64_t i = 0; i < 9; ++i) {
      const auto v = value_of(p, l, o, solved.levels.row(i), i);
      EXPECT_NEAR(solved.outcome.error[static_cast<std::size_t>(i)], v.error, 1e-9 * v.error) << states;
      bits += v.bits;
    }
    EXPECT_NEAR(solved.outcome.bits, bits, 1e-6 * bits) << states;
  }
}

TEST(ListSearch, WithoutFeedbackIsTheViterbiAlgorithm) {
  const std::int64_t m = 5, n = 96;
  Problem p(m, n, 1.2, 3);
  const auto l = diagonal(std::vector<double>(static_cast<std::size_t>(n), 1.0));
  LevelBits::Counts counts;
  for (auto& table : counts) table = {{-3, 1}, {-2, 4}, {-1, 10}, {0, 30}, {1, 9}, {2, 3}, {3, 2}};
  const LevelBits lengths(counts);
  LevelCosts costs{.classes = 1,
                   .reach = 6,
                   .bits = {},
                   .row_class = std::vector<int>(m),
                   .column_class = std::vector<int>(n),
                   .slope = 0};
  for (int quantizer = 0; quantizer < 2; ++quantizer)
    for (int level = -6; level <= 6; ++level) costs.bits.push_back(static_cast<float>(lengths(quantizer, level)));
  const std::vector<double> x(p.t.span().begin(), p.t.span().end());
  for (const int states : {4, 8, 16}) {
    const auto& trellis = *find_trellis(states);
    for (const double lambda : {0.0, 0.05}) {
      const auto want = trellis_search(trellis, x, n, 1.0, lambda, lengths);
      const auto have = solve(p.t, l, options(states, 1, lambda), costs);
      EXPECT_TRUE(std::equal(want.begin(), want.end(), have.levels.data())) << states << " states, lambda " << lambda;
      EXPECT_NEAR(have.total(), trellis_distortion(trellis, x, want, n, 1.0), 1e-9 * have.total());
    }
  }
}

TEST(ListSearch, IsNeverBetterThanAllPathsAndAlmostAsGoodWithManySurvivors) {
  Problem p(6, 5, 0.9, 4);
  const auto l = p.factor();
  for (const int states : {1, 4, 8}) {
    double least = 0, narrow = 0, wide = 0;
    for (std::int64_t i = 0; i < 6; ++i) {
      const auto o = options(states, 1, 0.1, 3);
      const auto cost = [&](const std::int16_t* levels) {
        const auto v = value_of(p, l, o, levels, i);
        return v.error + price(l.factor, 0.1) * v.bits;
      };
      std::int16_t levels[5];
      double best = 1e30;
      for (int code = 0; code < 9 * 9 * 9 * 9 * 9; ++code) {
        for (int j = 0, rest = code; j < 5; ++j, rest /= 9) levels[j] = static_cast<std::int16_t>(rest % 9 - 4);
        best = std::min(best, cost(levels));
      }
      const double one = cost(solve(p.t, l, options(states, 1, 0.1, 3), p.costs).levels.row(i));
      const double many = cost(solve(p.t, l, options(states, 8, 0.1, 3), p.costs).levels.row(i));
      EXPECT_GE(one, best * (1 - 1e-12));
      EXPECT_GE(many, best * (1 - 1e-12));
      least += best, narrow += one, wide += many;
    }
    EXPECT_LT(wide, 1.01 * least) << states;
    EXPECT_LE(wide, narrow) << states;
  }
}

TEST(ListSearch, MoreSurvivorsAndMoreStatesCostLess) {
  const Problem p(64, 160, 0.8, 5);
  const auto l = p.factor();
  const double bit = price(l.factor, 0.06);
  const auto cost = [&](int states, int survivors) {
    const auto solved = solve(p.t, l, options(states, survivors, 0.06), p.costs);
    return solved.total() + bit * solved.outcome.bits;
  };
  for (const int states : {1, 4, 8}) {
    double last = cost(states, 1);
    for (const int survivors : {2, 4, 8}) {
      const double next = cost(states, survivors);
      EXPECT_LT(next, last) << states << " x " << survivors;
      last = next;
    }
  }
}

TEST(ListSearch, EveryStretchOfARowStartsInStateZero) {
  const std::int64_t n = 60;
  Problem p(3, n, 1.2, 6);
  p.costs.column_class.assign(static_cast<std::size_t>(n), 0);
  const auto l = diagonal(std::vector<double>(static_cast<std::size_t>(n), 1.0));
  const auto whole = solve(p.t, l, options(8, 2, 0.05, 20), p.costs);
  auto costs = p.costs;
  costs.column_class.resize(20);
  for (std::int64_t j0 = 0; j0 < n; j0 += 20) {
    Matrix<float> part(3, 20);
    for (std::int64_t i = 0; i < 3; ++i) std::copy_n(p.t.row(i) + j0, 20, part.row(i));
    const auto alone = solve(part, diagonal(std::vector<double>(20, 1.0)), options(8, 2, 0.05, 20), costs);
    for (std::int64_t i = 0; i < 3; ++i)
      EXPECT_TRUE(std::equal(alone.levels.row(i), alone.levels.row(i) + 20, whole.levels.row(i) + j0)) << j0;
  }
}

TEST(ListSearch, ColumnsOutsideTheOrderHaveLevelZero) {
  Problem p(5, 40, 1.2, 7);
  for (const std::int64_t dead : {0, 7, 8, 39})
    for (std::int64_t j = 0; j < 40; ++j) p.h(dead, j) = p.h(j, dead) = 0;
  const auto l = p.factor();
  ASSERT_EQ(l.factor.rank(), 36);
  for (const int states : {1, 8}) {
    const auto o = options(states, 2, 0.05, 16);
    const auto solved = solve(p.t, l, o, p.costs);
    double bits = 0;
    for (std::int64_t i = 0; i < 5; ++i) {
      for (const std::int64_t dead : {0, 7, 8, 39}) EXPECT_EQ(solved.levels(i, dead), 0);
      const auto v = value_of(p, l, o, solved.levels.row(i), i);
      EXPECT_NEAR(solved.outcome.error[static_cast<std::size_t>(i)], v.error, 1e-9 * v.error);
      bits += v.bits;
    }
    EXPECT_NEAR(solved.outcome.bits, bits, 1e-6 * bits);
  }
  Triangle<double> none;
  none.factor.dimension = 40;
  const auto nothing = solve(p.t, none, options(4, 1, 0), {});
  for (const auto z : nothing.levels.span()) EXPECT_EQ(z, 0);
  EXPECT_EQ(nothing.total(), 0);
  EXPECT_TRUE(solve(Matrix<float>(0, 40), none, options(1, 1, 0), {}).outcome.error.empty());
}

TEST(ListSearch, RowsBeyondInt16OrTheRangeOfTheFeedbackHaveInfiniteError) {
  Problem p(4, 30, 1, 8);
  p.t(1, 12) = 40000;
  p.t(2, 3) = -1e30f;
  for (const int states : {1, 4}) {
    const auto solved = solve(p.t, p.factor(), options(states, 2, 0.05), p.costs);
    for (const std::int64_t row : {1, 2}) {
      EXPECT_TRUE(std::isinf(solved.outcome.error[static_cast<std::size_t>(row)]));
      for (std::int64_t j = 0; j < 30; ++j) EXPECT_EQ(solved.levels(row, j), 0);
    }
    EXPECT_TRUE(std::isfinite(solved.outcome.error[0]) && std::isfinite(solved.outcome.error[3]));
    EXPECT_TRUE(std::isfinite(solved.outcome.bits));
  }
  auto l = p.factor<float>();
  for (std::int64_t j = 0; j < 20; ++j) l.rows(20, j) = std::numeric_limits<float>::infinity();
  for (const double e : solve(p.t, l, options(4, 1, 0.05), p.costs).outcome.error) EXPECT_TRUE(std::isinf(e));
}

}  // namespace
}  // namespace nearplane::lattice
