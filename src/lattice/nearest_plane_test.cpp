#include "lattice/nearest_plane.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "every_target.h"
#include "lattice/bound.h"
#include "lattice/error.h"
#include "lattice/order.h"
#include "lattice_problem.h"

namespace nearplane::lattice {
namespace {

// The algorithms as the papers write them: one row, double, plain loops.
struct Row {
  std::vector<int> codes;      // by coordinate
  std::vector<double> target;  // c_k by position
  std::vector<double> error;   // e_k by position
  double margin = 1;           // least distance of a rounded number from a tie, in steps
};

struct RowProblem {
  std::vector<double> w;
  const Grid& grid;
  std::int64_t row;

  double step(std::int64_t j) const { return static_cast<double>(grid.step(row, j / grid.group)); }
  double zero(std::int64_t j) const { return static_cast<double>(grid.zero(row, j / grid.group)); }
  double point(std::int64_t j, int code) const { return step(j) * (code - zero(j)); }
  int nearest(std::int64_t j, double c, double& margin) const {
    const double t = c / step(j) + zero(j);
    if (t > -0.6 && t < grid.max_code + 0.6) margin = std::min(margin, std::abs(t - std::floor(t) - 0.5));
    return static_cast<int>(std::clamp(std::nearbyint(t), 0.0, static_cast<double>(grid.max_code)));
  }
};

RowProblem row_problem(const Matrix<float>& w, const Grid& grid, std::int64_t i) {
  return {{w.row(i), w.row(i) + w.cols()}, grid, i};
}

Row babai(const RowProblem& p, const Triangle<double>& l) {
  Row out{.codes = std::vector<int>(p.w.size(), -1), .target = {}, .error = {}};
  const auto& order = l.factor.order;
  for (std::int64_t k = 0; k < l.factor.rank(); ++k) {
    double c = p.w[order[k]];
    for (std::int64_t j = 0; j < k; ++j) c += l.rows(k, j) * (p.w[order[j]] - p.point(order[j], out.codes[order[j]]));
    out.codes[order[k]] = p.nearest(order[k], c, out.margin);
    out.target.push_back(c);
    out.error.push_back(l.factor.pivots[k] * (c - p.point(order[k], out.codes[order[k]])));
  }
  return out;
}

using Dense = std::vector<std::vector<double>>;

Dense inverse(Dense a) {  // Gauss-Jordan without pivoting, fit for positive definite matrices
  const auto n = a.size();
  Dense b(n, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i) b[i][i] = 1;
  for (std::size_t k = 0; k < n; ++k) {
    const double pivot = a[k][k];
    for (std::size_t j = 0; j < n; ++j) a[k][j] /= pivot, b[k][j] /= pivot;
    for (std::size_t i = 0; i < n; ++i) {
      if (i == k) continue;
      const double f = a[i][k];
      for (std::size_t j = 0; j < n; ++j) a[i][j] -= f * a[k][j], b[i][j] -= f * b[k][j];
    }
  }
  return b;
}

Dense upper_cholesky(const Dense& a) {  // a = U^T U
  const auto n = a.size();
  Dense u(n, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = i; j < n; ++j) {
      double sum = a[i][j];
      for (std::size_t k = 0; k < i; ++k) sum -= u[k][i] * u[k][j];
      u[i][j] = i == j ? std::sqrt(sum) : sum / u[i][i];
    }
  return u;
}

Dense permuted(const Matrix<double>& h, const Factor& f) {
  Dense out(f.order.size(), std::vector<double>(f.order.size()));
  for (std::size_t a = 0; a < out.size(); ++a)
    for (std::size_t b = 0; b < out.size(); ++b) out[a][b] = h(f.order[a], f.order[b]) + (a == b ? f.shift : 0.0);
  return out;
}

// GPTQ: (H + shift I)^-1 = U^T U; the error of a column over U_kk is subtracted, times row k of U, from later weights.
Row gptq(RowProblem p, const Factor& f, const Dense& u) {
  Row out{.codes = std::vector<int>(p.w.size(), -1), .target = {}, .error = {}};
  for (std::size_t k = 0; k < f.order.size(); ++k) {
    const auto column = f.order[k];
    out.codes[column] = p.nearest(column, p.w[column], out.margin);
    out.target.push_back(p.w[column]);
    out.error.push_back((p.w[column] - p.point(column, out.codes[column])) / u[k][k]);
    for (std::size_t j = k; j < f.order.size(); ++j) p.w[f.order[j]] -= out.error[k] * u[k][j];
  }
  return out;
}

double sum_of_squares(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return sum;
}

template <class T>
struct Solved {
  Matrix<std::uint8_t> codes;
  Outcome outcome;
};

template <class T>
Solved<T> solve(const Matrix<float>& w, const Triangle<T>& l, const Grid& grid) {
  Solved<T> out{Matrix<std::uint8_t>(w.rows(), w.cols()), {}};
  out.outcome = nearest_plane(w.view(), l, grid, out.codes.view());
  return out;
}

Matrix<float> difference(const Matrix<float>& w, const Grid& grid, const Matrix<std::uint8_t>& codes) {
  Matrix<float> d(w.rows(), w.cols());
  for (std::int64_t i = 0; i < w.rows(); ++i)
    for (std::int64_t j = 0; j < w.cols(); ++j) {
      const auto g = j / grid.group;
      d(i, j) = w(i, j) - grid.step(i, g) * (static_cast<float>(codes(i, j)) - grid.zero(i, g));
    }
  return d;
}

void expect_same_codes(const Row& want, const Matrix<std::uint8_t>& have, std::int64_t i) {
  for (std::int64_t j = 0; j < have.cols(); ++j) ASSERT_EQ(int{have(i, j)}, want.codes[j]) << i << ", " << j;
}

// GPTQ, nearest plane by the book, and the blocked solver: the same integers, the same error vectors.
TEST(NearestPlane, IsGptqStepForStep) {
  const std::int64_t n = 48;
  const auto h = random_gram(n, 100, 1);
  for (const auto& order : {natural_order(h), decreasing_diagonal_order(h)}) {
    const auto l = factorize<double>(h, order, 0.01);
    const auto u = upper_cholesky(inverse(permuted(h, l.factor)));
    for (const double step : {0.05, 0.5}) {  // almost everything clipped; hardly anything
      const auto w = random_weights(40, n, 2);
      const auto grid = random_grid(40, n, 16, 3, step, 3);
      const auto blocked = solve(w, l, grid);
      for (std::int64_t i = 0; i < w.rows(); ++i) {
        const auto problem = row_problem(w, grid, i);
        const auto a = babai(problem, l), b = gptq(problem, l.factor, u);
        ASSERT_GT(a.margin, 1e-9);
        ASSERT_EQ(a.codes, b.codes);
        expect_same_codes(a, blocked.codes, i);
        for (std::int64_t k = 0; k < n; ++k) {
          EXPECT_NEAR(a.error[k], b.error[k], 1e-8);
          EXPECT_NEAR(a.target[k], b.target[k], 1e-8);
        }
        EXPECT_NEAR(blocked.outcome.error[i], sum_of_squares(a.error), 1e-9 * sum_of_squares(a.error));
      }
    }
  }
}

template <class T>
void expect_reference_codes(std::int64_t m, std::int64_t n, int bits, double margin) {
  SCOPED_TRACE(testing::Message() << m << " x " << n << ", " << bits << " bits");
  const auto h = random_gram(n, n + 20, static_cast<std::uint64_t>(n));
  const auto order = decreasing_diagonal_order(h);
  const auto exact = factorize<double>(h, order, 0.01);
  const auto w = random_weights(m, n, 5);
  const auto grid = random_grid(m, n, n, bits, 4.0 / (1 << bits), 6);
  const auto solved = solve(w, factorize<T>(h, order, 0.01), grid);
  int compared = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    const auto want = babai(row_problem(w, grid, i), exact);
    if (want.margin < margin) continue;  // a tie within rounding
    ++compared;
    expect_same_codes(want, solved.codes, i);
  }
  EXPECT_GT(2 * compared, m);
}

TEST(NearestPlane, EqualsTheReferenceOnEveryTarget) {
  for_every_target([] {
    expect_reference_codes<float>(30, 200, 3, 2e-5);
    expect_reference_codes<double>(30, 200, 3, 1e-9);
  });
}

TEST(NearestPlane, EqualsTheReferenceForAllSizesAndBits) {
  for (int bits = 2; bits <= 8; ++bits) expect_reference_codes<float>(20, 130, bits, 2e-6 * (1 << bits));
  for (const std::int64_t n : {1, 2, 63, 64, 65, 128, 193, 256, 321}) expect_reference_codes<float>(9, n, 4, 2e-5);
  for (const std::int64_t m : {1, 15, 16, 127, 128, 129, 300}) expect_reference_codes<float>(m, 96, 4, 2e-5);
}

TEST(NearestPlane, ErrorIsTheSumOfSquaresClippedOrNot) {
  const auto h = random_gram(150, 300, 8);
  const auto w = random_weights(60, 150, 9);
  const auto l = factorize<float>(h, decreasing_diagonal_order(h), 0.01);
  for (const double step : {0.02, 0.3}) {
    const auto grid = random_grid(60, 150, 50, 3, step, 10);
    const auto solved = solve(w, l, grid);
    const auto d = difference(w, grid, solved.codes);
    const auto direct = row_errors<double>(d.view(), h);
    for (std::int64_t i = 0; i < 60; ++i) {
      double damped = direct[i];
      for (std::int64_t j = 0; j < 150; ++j) damped += l.factor.shift * std::pow(static_cast<double>(d(i, j)), 2);
      EXPECT_NEAR(solved.outcome.error[i], damped, 1e-4 * damped);
    }
  }
}

TEST(NearestPlane, BoundHoldsWhereNothingIsClipped) {
  const auto h = random_gram(120, 200, 11);
  const auto w = random_weights(64, 120, 12);
  const auto l = factorize<float>(h, decreasing_diagonal_order(h), 0.01);
  const auto wide = random_grid(64, 120, 40, 8, 0.05, 13);
  const auto solved = solve(w, l, wide);
  ASSERT_EQ(solved.outcome.clipped, 0);
  double error = 0;
  for (const double e : solved.outcome.error) error += e;
  const double bound = error_bound(l.factor, wide);
  EXPECT_LT(error, bound);
  EXPECT_NEAR(error, bound / 3, 0.05 * bound / 3);  // 7,680 uniform remainders

  const auto narrow = random_grid(64, 120, 40, 2, 0.01, 13);
  const auto clipped = solve(w, l, narrow);
  EXPECT_GT(clipped.outcome.clipped, 64 * 60);
  EXPECT_GT(clipped.outcome.error[0], error_bound(l.factor, narrow));  // and does not where everything is
}

TEST(NearestPlane, TwoDimensionsByHand) {
  // H = [[5, 2], [2, 4]] = L^T L with L = [[2, 0], [1, 2]]: c_2 = w_2 + 1/2 (w_1 - q_1).
  Matrix<double> h(2, 2);
  h(0, 0) = 5, h(1, 0) = h(0, 1) = 2, h(1, 1) = 4;
  const auto l = factorize<float>(h, {0, 1}, 0);
  EXPECT_FLOAT_EQ(l.rows(1, 0), 0.5f);
  Grid grid{.group = 2, .max_code = 7, .step = {1, 1}, .zero = {1, 1}};
  grid.step(0, 0) = 1, grid.zero(0, 0) = 4;
  Matrix<float> w(1, 2);
  w(0, 0) = 1.4f, w(0, 1) = 0.35f;  // rounding alone: (1, 0); c_2 = 0.35 + 0.2 = 0.55, so (1, 1)
  const auto solved = solve(w, l, grid);
  EXPECT_EQ(int{solved.codes(0, 0)}, 5);
  EXPECT_EQ(int{solved.codes(0, 1)}, 5);
  EXPECT_NEAR(solved.outcome.error[0], 4 * 0.16 + 4 * 0.45 * 0.45, 1e-5);
  w(0, 0) = 9.0f;  // clipped at 7 - 4 = 3: e_1 = 12, c_2 = 0.35 + 3 = 3.35
  const auto clipped = solve(w, l, grid);
  EXPECT_EQ(int{clipped.codes(0, 0)}, 7);
  EXPECT_EQ(int{clipped.codes(0, 1)}, 7);
  EXPECT_EQ(clipped.outcome.clipped, 1);
  EXPECT_NEAR(clipped.outcome.error[0], 144 + 4 * 0.35 * 0.35, 1e-4);
}

TEST(NearestPlane, DiagonalMatrixMeansRounding) {
  Matrix<double> h(70, 70);
  for (std::int64_t j = 0; j < 70; ++j) h(j, j) = static_cast<double>(1 + j % 7);
  const auto w = random_weights(33, 70, 14);
  const auto grid = random_grid(33, 70, 35, 4, 0.2, 15);
  Triangle<float> none;
  none.factor.dimension = 70;
  const auto plain = solve(w, none, grid);
  const auto planes = solve(w, factorize<float>(h, decreasing_diagonal_order(h), 0.01), grid);
  EXPECT_TRUE(std::equal(plain.codes.span().begin(), plain.codes.span().end(), planes.codes.span().begin()));
  EXPECT_EQ(plain.outcome.clipped, planes.outcome.clipped);
  EXPECT_EQ(plain.outcome.error[0], 0);
  EXPECT_GT(planes.outcome.error[0], 0);
}

TEST(NearestPlane, CoordinatesOutsideTheOrderAreRoundedAndChangeNothing) {
  auto h = random_gram(40, 80, 16);
  const auto w = random_weights(20, 40, 17);
  const auto grid = random_grid(20, 40, 40, 3, 0.4, 18);
  for (const std::int64_t dead : {3, 17})
    for (std::int64_t j = 0; j < 40; ++j) h(dead, j) = h(j, dead) = 0;
  const auto l = factorize<float>(h, natural_order(h), 0.01);
  ASSERT_EQ(l.factor.rank(), 38);
  const auto solved = solve(w, l, grid);
  for (std::int64_t i = 0; i < 20; ++i)
    for (const std::int64_t dead : {3, 17}) {
      double margin = 1;
      EXPECT_EQ(int{solved.codes(i, dead)}, row_problem(w, grid, i).nearest(dead, w(i, dead), margin));
    }
  auto other = w.clone();
  for (std::int64_t i = 0; i < 20; ++i) other(i, 3) = 100;
  const auto moved = solve(other, l, grid);
  for (std::int64_t i = 0; i < 20; ++i) {
    EXPECT_EQ(int{moved.codes(i, 3)}, 7);
    EXPECT_EQ(int{moved.codes(i, 17)}, int{solved.codes(i, 17)});
    EXPECT_EQ(int{moved.codes(i, 39)}, int{solved.codes(i, 39)});
  }
  EXPECT_EQ(moved.outcome.error, solved.outcome.error);
}

TEST(NearestPlane, HugeAndTinyMatricesAreTheSameProblem) {
  const auto h = random_gram(80, 100, 19);
  const auto w = random_weights(10, 80, 20);
  const auto grid = random_grid(10, 80, 80, 3, 0.5, 21);
  const auto plain = solve(w, factorize<float>(h, natural_order(h), 0.01), grid);
  for (const int exponent : {-400, 100, 500}) {
    auto scaled = h.clone();
    for (auto& value : scaled.span()) value = std::ldexp(value, exponent);
    const auto other = solve(w, factorize<float>(scaled, natural_order(scaled), 0.01), grid);
    EXPECT_TRUE(std::equal(plain.codes.span().begin(), plain.codes.span().end(), other.codes.span().begin()));
    EXPECT_EQ(other.outcome.error[3], std::ldexp(plain.outcome.error[3], exponent));
    const auto direct = row_errors<float>(w.view(), scaled);
    EXPECT_EQ(direct[3], std::ldexp(row_errors<float>(w.view(), h)[3], exponent));
  }
}

TEST(NearestPlane, SameBitsForAnyNumberOfThreads) {
  const auto h = random_gram(320, 400, 22);
  const auto w = random_weights(500, 320, 23);
  const auto grid = random_grid(500, 320, 64, 3, 0.4, 24);
  set_thread_count(1);
  const auto l = factorize<float>(h, decreasing_diagonal_order(h), 0.01);
  const auto one = solve(w, l, grid);
  const auto direct = row_errors<float>(w.view(), h);
  for (const int threads : {2, 3}) {
    set_thread_count(threads);
    const auto many = solve(w, l, grid);
    EXPECT_TRUE(std::equal(one.codes.span().begin(), one.codes.span().end(), many.codes.span().begin()));
    EXPECT_EQ(one.outcome.error, many.outcome.error);
    EXPECT_EQ(direct, row_errors<float>(w.view(), h));
  }
  set_thread_count(0);
}

TEST(RowErrors, EqualTheDoubleSumInBothTypes) {
  for (const std::int64_t n : {1, 2, 255, 256, 257, 300}) {
    const auto h = random_gram(n, n + 5, static_cast<std::uint64_t>(n));
    auto lower = h.clone();
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = i + 1; j < n; ++j) lower(i, j) = std::nan("");  // never read
    const auto d = random_weights(5, n, 25);
    const auto exact = row_errors<double>(d.view(), lower), fast = row_errors<float>(d.view(), lower);
    for (std::int64_t r = 0; r < 5; ++r) {
      double want = 0;
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < n; ++j)
          want += static_cast<double>(d(r, i)) * h(i, j) * static_cast<double>(d(r, j));
      EXPECT_NEAR(exact[r], want, 1e-11 * want);
      EXPECT_NEAR(fast[r], want, 1e-5 * want);
    }
  }
}

// Codes of 16 bits on a grid whose ends are out of reach: those of a shifted grid of 8 bits where they fit there, and
// the bound holds where they do not.
TEST(NearestPlane, HoldsItsBoundWithoutARange) {
  const auto w = random_weights(150, 96, 40);
  const auto h = random_gram(96, 200, 41);
  const auto l = factorize<double>(h, decreasing_diagonal_order(h), 0.01);
  for (const double step : {0.2, 0.01}) {
    auto grid = random_grid(150, 96, 32, 8, step, 42);
    for (auto& z : grid.zero.span()) z = 128;
    Grid wide{.group = 32, .min_code = -32767, .max_code = 32767, .step = grid.step.clone(), .zero = {150, 3}};
    Matrix<std::int16_t> codes(150, 96);
    const auto outcome = nearest_plane(w.view(), l, wide, codes.view());
    EXPECT_EQ(outcome.clipped, 0);
    const auto narrow = solve(w, l, grid);
    if (step == 0.2) {
      EXPECT_EQ(narrow.outcome.clipped, 0);
      for (std::int64_t i = 0; i < codes.size(); ++i) ASSERT_EQ(codes.data()[i], narrow.codes.data()[i] - 128);
    } else {
      EXPECT_GT(narrow.outcome.clipped, 0);
    }
    for (std::int64_t i = 0; i < 150; ++i) {
      double bound = 0;
      for (std::int64_t k = 0; k < l.factor.rank(); ++k) {
        const auto s = static_cast<double>(wide.step(i, l.factor.order[k] / 32));
        bound += l.factor.pivots[k] * l.factor.pivots[k] * s * s / 4;
      }
      EXPECT_LE(outcome.error[i], bound);
    }
  }
}

}  // namespace
}  // namespace nearplane::lattice
