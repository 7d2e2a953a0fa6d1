// Rates of the lattice solvers on all cores, every figure beside the f32 product rate of the same run.
// Prints JSON: GFLOP/s of the product, nearest plane's m n^2 operations relative to it, and relative to its time that
// of K-best and of the list search of S states x M survivors with priced levels. With --solve ROWS COLUMNS GROUP
// THREADS: seconds from a Gram matrix to codes (for bench/published).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/process.h"
#include "base/rng.h"
#include "base/threads.h"
#include "kernel/gemm.h"
#include "lattice/factor.h"
#include "lattice/kbest.h"
#include "lattice/list_search.h"
#include "lattice/nearest_plane.h"
#include "lattice/order.h"

namespace {

using namespace nearplane;
using namespace nearplane::lattice;

template <class F>
double best_seconds(int times, const F& body) {
  double best = 1e30;
  for (int i = 0; i < times; ++i) {
    const Stopwatch watch;
    body();
    best = std::min(best, watch.seconds());
  }
  return best;
}

// A product C[m,n] = A B of square matrices, rows split over all threads.
double product_rate(std::int64_t n) {
  constexpr std::int64_t kRows = 256;
  Matrix<float> a(n, n), b(n, n), c(n, n);
  for (auto& x : a.span()) x = 0.5f;
  for (auto& x : b.span()) x = 0.25f;
  const double seconds = best_seconds(5, [&] {
    parallel_for((n + kRows - 1) / kRows, [&](std::int64_t i) {
      const auto r0 = i * kRows, count = std::min(kRows, n - r0);
      gemm_nn(count, n, n, 1.0f, a.row(r0), n, b.data(), n, 0.0f, c.row(r0), n);
    });
  });
  return 2.0 * static_cast<double>(n * n * n) / seconds;
}

// Weights, a grid of 4 bits and a factor with feedback that decays with distance.
struct Problem {
  Matrix<float> w;
  Grid grid;
  Triangle<float> l;
  Matrix<std::uint8_t> codes;

  Problem(std::int64_t m, std::int64_t n) : w(m, n), codes(m, n) {
    Rng rng(1);
    for (auto& x : w.span()) x = static_cast<float>(rng.normal());
    grid = {.group = 64, .max_code = 15, .step = {m, n / 64}, .zero = {m, n / 64}};
    for (auto& s : grid.step.span()) s = 0.35f;
    for (auto& z : grid.zero.span()) z = 8;
    l.factor.dimension = n;
    l.rows = Matrix<float>(n, n);
    for (std::int64_t k = 0; k < n; ++k) {
      l.factor.order.push_back(k);
      l.factor.pivots.push_back(1.0);
      for (std::int64_t j = 0; j < k; ++j)
        l.rows(k, j) = static_cast<float>(0.3 * rng.normal() / std::sqrt(static_cast<double>(n)));
      l.rows(k, k) = 1;
    }
  }
};

double nearest_plane_seconds(Problem& p) {
  return best_seconds(3, [&] { nearest_plane(p.w.view(), p.l, p.grid, p.codes.view()); });
}

// Order, factor and nearest plane on a random Gram matrix.
void time_solve(std::int64_t m, std::int64_t n, std::int64_t group) {
  Rng rng(2);
  Matrix<double> h(n, n);
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < i; ++j) h(i, j) = 0.1 * rng.normal();
    h(i, i) = 20 + 20 * rng.uniform();
  }
  Matrix<float> w(m, n);
  for (auto& x : w.span()) x = static_cast<float>(rng.normal());
  Grid grid{.group = group, .max_code = 15, .step = {m, n / group}, .zero = {m, n / group}};
  for (auto& s : grid.step.span()) s = 0.35f;
  for (auto& z : grid.zero.span()) z = 8;
  Matrix<std::uint8_t> codes(m, n);
  const double seconds = best_seconds(2, [&] {
    const auto triangle = factorize<float>(h, decreasing_diagonal_order(h), 0.01);
    nearest_plane(w.view(), triangle, grid, codes.view());
  });
  fmt::print("{{\"seconds\": {:.4f}}}\n", seconds);
}

// The same weights in steps of 0.35, eight classes of rows.
double list_seconds(const Problem& p, int states, int survivors) {
  const auto m = p.w.rows(), n = p.w.cols();
  Matrix<float> t = p.w.clone();
  for (auto& x : t.span()) x /= 0.35f;
  LevelCosts costs{.classes = 8, .reach = 31, .bits = {}, .row_class = {}, .column_class = {}};
  for (int table = 0; table < 16; ++table)
    for (int level = -31; level <= 31; ++level)
      costs.bits.push_back(1.5f + static_cast<float>(std::abs(level)) * (1.0f + 0.02f * static_cast<float>(table)));
  for (std::int64_t i = 0; i < m; ++i) costs.row_class.push_back(static_cast<int>(i % 9));
  costs.column_class.assign(static_cast<std::size_t>(n), 0);
  Matrix<std::int16_t> levels(m, n);
  const ListOptions options{.trellis = *find_trellis(states), .survivors = survivors, .lambda = 0.06};
  return best_seconds(2, [&] { list_search(t.view(), p.l, options, costs, levels.view()); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 6 && std::string_view(argv[1]) == "--solve") {
    set_thread_count(std::atoi(argv[5]));
    time_solve(std::atoll(argv[2]), std::atoll(argv[3]), std::atoll(argv[4]));
    return 0;
  }
  Problem square(1536, 1536);
  const double plane = nearest_plane_seconds(square);
  fmt::print("{{\"threads\": {}", thread_count());
  for (const int beam : {1, 2, 4, 8}) {
    const double seconds =
        best_seconds(2, [&] { kbest(square.w.view(), square.l, square.grid, beam, square.codes.view()); });
    fmt::print(", \"kbest_{}_over_nearest_plane_1536\": {:.2f}", beam, seconds / plane);
  }
  for (const auto& [states, survivors] : {std::pair{1, 1}, {1, 4}, {4, 1}, {8, 1}, {8, 2}, {8, 4}, {8, 8}, {16, 4}})
    fmt::print(", \"list_{}x{}_over_nearest_plane_1536\": {:.2f}", states, survivors,
               list_seconds(square, states, survivors) / plane);
  Problem large(4096, 4096);
  const double rate = product_rate(4096), seconds = nearest_plane_seconds(large);
  fmt::print(", \"product_gflops\": {:.1f}, \"nearest_plane_4096_over_product\": {:.3f}}}\n", rate * 1e-9,
             std::pow(4096.0, 3) / seconds / rate);
}
