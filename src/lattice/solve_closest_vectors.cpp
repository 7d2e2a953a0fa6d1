// The public door to the solvers: checks the caller's matrices, factors once, and gives every row to the solver asked
// for as a problem of its own.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/threads.h"
#include "lattice/bound.h"
#include "lattice/closest_vector.h"
#include "lattice/data_factor.h"
#include "lattice/factor.h"
#include "lattice/order.h"
#include "lattice/reduction.h"
#include "lattice/reference.h"
#include "nearplane/lattice.h"

namespace nearplane {
namespace {

constexpr double kLargest = 1e100;

void check_size(const char* name, std::size_t actual, std::int64_t rows, std::int64_t cols) {
  if (static_cast<std::int64_t>(actual) != rows * cols)
    fail_input(name, "{} numbers are not {} x {}", actual, rows, cols);
}

void check_entries(const char* name, const std::vector<double>& values, std::int64_t cols) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!(std::abs(values[i]) <= kLargest))
      fail_input(name, "entry ({}, {}) is {}", static_cast<std::int64_t>(i) / cols, static_cast<std::int64_t>(i) % cols,
                 values[i]);
}

// A vector [n] or a matrix [m, n]; `fallback` everywhere if it is empty.
struct PerColumn {
  const std::vector<double>& values;
  std::int64_t n;
  double fallback;
  double at(std::int64_t row, std::int64_t j) const {
    if (values.empty()) return fallback;
    return std::ssize(values) == n ? values[j] : values[row * n + j];
  }
};

void check_per_column(const char* name, const std::vector<double>& values, const LatticeProblem& p) {
  const auto size = std::ssize(values);
  if (size != p.columns && size != p.rows * p.columns)
    fail_input(name, "{} numbers are neither {} nor {} x {}", size, p.columns, p.rows, p.columns);
  check_entries(name, values, p.columns);
}

void check_gram(const LatticeProblem& p) {
  const auto n = p.columns;
  check_size("gram", p.gram.size(), n, n);
  check_entries("gram", p.gram, n);
  for (std::int64_t i = 0; i < n; ++i) {
    if (p.gram[i * n + i] < 0) fail_input("gram", "entry ({0}, {0}) of the diagonal is {1}", i, p.gram[i * n + i]);
    for (std::int64_t j = 0; j < i; ++j) {
      const double a = p.gram[i * n + j], b = p.gram[j * n + i];
      if (std::abs(a - b) > 1e-9 * (std::abs(a) + std::abs(b)))
        fail_input("gram", "is not symmetric: {} at ({}, {}), {} at ({}, {})", a, i, j, b, j, i);
    }
  }
}

void check_problem(const LatticeProblem& p) {
  if (p.rows < 0 || p.columns < 0) fail_input("problem", "{} x {} targets", p.rows, p.columns);
  check_size("target", p.target.size(), p.rows, p.columns);
  if (p.columns == 0) return;
  check_entries("target", p.target, p.columns);
  if (p.data.empty() == p.gram.empty()) fail_input("problem", "wants either a gram matrix or data");
  if (!p.gram.empty()) check_gram(p);
  if (std::ssize(p.data) % p.columns != 0) fail_input("data", "{} numbers are no rows of {}", p.data.size(), p.columns);
  check_per_column("step", p.step, p);
  for (std::size_t i = 0; i < p.step.size(); ++i)
    if (!(p.step[i] > 0) || !std::isnormal(p.step[i])) fail_input("step", "entry {} is {}", i, p.step[i]);
  if (!p.zero.empty()) check_per_column("zero", p.zero, p);
  if (p.bounded && p.low > p.high) fail_input("range", "from {} to {} is empty", p.low, p.high);
}

void check_options(const LatticeProblem& p, const LatticeOptions& o) {
  const bool published = o.solver == LatticeSolver::gptq || o.solver == LatticeSolver::obq;
  if (published && p.gram.empty()) fail_input("solver", "GPTQ and OBQ work on a gram matrix, not on data");
  if (o.solver == LatticeSolver::reduced_plane && p.bounded)
    fail_input("solver", "codes found in a reduced basis have no range");
  if (!(o.damping >= 0) || o.damping > kLargest) fail_input("damping", "is {}", o.damping);
  if (!(o.temperature >= 0) || o.temperature > kLargest) fail_input("temperature", "is {}", o.temperature);
  if (o.beam < 1) fail_input("beam", "of {} keeps nothing", o.beam);
  if (o.tries < 0) fail_input("tries", "is {}", o.tries);
  if (o.budget < 0) fail_input("budget", "is {}", o.budget);
  if (o.descent < 0) fail_input("descent", "is {}", o.descent);
}

// H, and L in the order asked for, from whichever of the two matrices there is.
struct Factored {
  Matrix<double> gram;
  lattice::Triangle<double> triangle;
};

std::vector<std::int64_t> order_of(const Matrix<double>& h, const LatticeOptions& o) {
  switch (o.order) {
    case LatticeOrder::act:
      return lattice::decreasing_diagonal_order(h);
    case LatticeOrder::min_pivot:
      return lattice::min_pivot_order(h, 0);
    case LatticeOrder::given:
      return lattice::given_order(h, o.given_order, "order");
    default:
      return lattice::natural_order(h);
  }
}

Factored factor(const LatticeProblem& p, const LatticeOptions& o) {
  const auto n = p.columns;
  Factored out{Matrix<double>(n, n), {}};
  if (!p.gram.empty()) {
    std::copy(p.gram.begin(), p.gram.end(), out.gram.data());
    out.triangle = lattice::factorize<double>(out.gram, order_of(out.gram, o), o.damping);
    return out;
  }
  lattice::DataFactor data(n);
  if (n > 0) {
    const auto t = std::ssize(p.data) / n;
    data.add(MatrixView<const double>{p.data.data(), t, n, n}, "data");
  }
  out.gram = data.gram();
  out.triangle = data.factorize<double>(order_of(out.gram, o), o.damping);
  return out;
}

// Row `row` in the coordinates of closest_vector.h, by position.
lattice::ClosestVector row_problem(const LatticeProblem& p, const lattice::Triangle<double>& l, std::int64_t row) {
  const PerColumn step{p.step, p.columns, 1}, zero{p.zero, p.columns, 0};
  const auto& f = l.factor;
  lattice::ClosestVector out;
  out.l = Matrix<double>(f.rank(), f.rank());
  if (p.bounded) out.low = p.low, out.high = p.high;
  for (const auto j : f.order) out.target.push_back(p.target[row * p.columns + j] / step.at(row, j) + zero.at(row, j));
  for (std::int64_t k = 0; k < f.rank(); ++k)
    for (std::int64_t j = 0; j <= k; ++j) out.l(k, j) = f.pivots[k] * l.rows(k, j) * step.at(row, f.order[j]);
  return out;
}

// GPTQ and OBQ take their own road from H: coordinates permuted and damped, codes counted from the low end.
lattice::Solution run_published(const LatticeProblem& p, const Factored& m, std::int64_t row, LatticeSolver solver) {
  namespace ref = lattice::reference;
  const PerColumn step{p.step, p.columns, 1}, zero{p.zero, p.columns, 0};
  const auto& f = m.triangle.factor;
  ref::Problem<double> problem{{{}}, {{}}, {{}}, p.bounded ? p.high - p.low : -1};
  const auto low = p.bounded ? p.low : 0;
  ref::Dense<double> h;
  for (const auto i : f.order) {
    problem.w[0].push_back(p.target[row * p.columns + i]);
    problem.step[0].push_back(step.at(row, i));
    problem.zero[0].push_back(zero.at(row, i) - static_cast<double>(low));
    auto& line = h.emplace_back();
    for (const auto j : f.order) line.push_back(m.gram(i, j) + (i == j ? f.shift : 0.0));
  }
  const auto solved = solver == LatticeSolver::gptq ? ref::gptq(problem, h) : ref::obq(problem, h);
  lattice::Solution out;
  out.codes = solved.codes[0];
  for (auto& code : out.codes) code += low;
  return out;
}

double remainder_error(const lattice::ClosestVector& p) {
  double sum = 0;
  for (std::int64_t k = 0; k < p.size(); ++k) sum += p.l(k, k) * p.l(k, k);
  return p.size() > 0 ? sum / (12.0 * static_cast<double>(p.size())) : 1.0;
}

lattice::Solution run(const LatticeProblem& p, const LatticeOptions& o, const Factored& m,
                      const lattice::ClosestVector& problem, std::int64_t row) {
  switch (o.solver) {
    case LatticeSolver::gptq:
    case LatticeSolver::obq:
      return run_published(p, m, row, o.solver);
    case LatticeSolver::kbest:
      return lattice::kbest(problem, o.beam, o.beam + 1);
    case LatticeSolver::klein:
      return lattice::randomized_plane(problem, o.temperature > 0 ? o.temperature : remainder_error(problem), o.tries,
                                       o.seed + static_cast<std::uint64_t>(row));
    case LatticeSolver::enumeration:
      return lattice::enumerate(problem, o.budget);
    case LatticeSolver::reduced_plane:
      return lattice::reduced_plane(problem, o.block).solution;
    case LatticeSolver::embedding:
      return lattice::kannan(problem, o.block);
    default:
      return lattice::nearest_plane(problem);
  }
}

// Coordinate descent: the code that changes the error most by a step of one, until none lowers it. E as a function of
// code k is |b_k|^2 d^2 - 2 d <b_k, e>, b_k column k of L, e the error vector.
void descend(const lattice::ClosestVector& p, int rounds, std::vector<std::int64_t>& codes) {
  const auto n = p.size();
  std::vector<double> e(codes.size());
  for (std::int64_t k = 0; k < n; ++k)
    for (std::int64_t j = 0; j <= k; ++j) e[k] += p.l(k, j) * (p.target[j] - static_cast<double>(codes[j]));
  for (bool changed = true; changed && rounds > 0; --rounds) {
    changed = false;
    for (std::int64_t k = 0; k < n; ++k) {
      double along = 0, length = 0;
      for (std::int64_t i = k; i < n; ++i) along += p.l(i, k) * e[i], length += p.l(i, k) * p.l(i, k);
      const auto wanted = static_cast<double>(codes[k]) + std::nearbyint(along / length);
      const auto code =
          static_cast<std::int64_t>(std::clamp(wanted, static_cast<double>(p.low), static_cast<double>(p.high)));
      const auto d = static_cast<double>(code - codes[k]);
      if (!(d * (d * length - 2 * along) < 0)) continue;
      for (std::int64_t i = k; i < n; ++i) e[i] -= d * p.l(i, k);
      codes[k] = code, changed = true;
    }
  }
}

void write_row(const LatticeProblem& p, const lattice::ClosestVector& problem, const lattice::Solution& solution,
               std::int64_t row, LatticeSolution& out) {
  const PerColumn step{p.step, p.columns, 1}, zero{p.zero, p.columns, 0};
  const auto r = problem.size();
  auto* codes = out.codes.data() + row * p.columns;
  for (std::int64_t j = 0; j < p.columns; ++j) {  // coordinates outside the order are rounded
    const double t = std::nearbyint(p.target[row * p.columns + j] / step.at(row, j) + zero.at(row, j));
    codes[j] =
        static_cast<std::int64_t>(std::clamp(t, static_cast<double>(problem.low), static_cast<double>(problem.high)));
  }
  for (std::int64_t k = 0; k < r; ++k) {
    codes[out.order[k]] = solution.codes[k];
    double e = 0;
    for (std::int64_t j = 0; j <= k; ++j)
      e += problem.l(k, j) * (problem.target[j] - static_cast<double>(solution.codes[j]));
    out.errors[row * r + k] = e;
    out.error[row] += e * e;
    out.bound[row] += problem.l(k, k) * problem.l(k, k) / 4;
  }
  out.optimal[row] = solution.optimal;
  out.nodes[row] = solution.nodes;
}

}  // namespace

LatticeSolution solve_closest_vectors(const LatticeProblem& p, const LatticeOptions& o) {
  check_problem(p);
  check_options(p, o);
  const auto m = factor(p, o);
  const auto& f = m.triangle.factor;
  const auto rows = static_cast<std::size_t>(p.rows);
  LatticeSolution out;
  out.order = f.order, out.pivots = f.pivots;
  out.damping = f.damping, out.shift = f.shift, out.repairs = f.repairs;
  out.codes.resize(p.target.size());
  out.errors.resize(rows * f.order.size());
  out.error.resize(rows), out.bound.resize(rows), out.optimal.resize(rows), out.nodes.resize(rows);
  parallel_for(p.rows, [&](std::int64_t row) {
    const auto problem = row_problem(p, m.triangle, row);
    lattice::check(problem, fmt::format("row {}", row));
    auto solution = run(p, o, m, problem, row);
    if (!solution.optimal) descend(problem, o.descent, solution.codes);
    write_row(p, problem, solution, row, out);
  });
  return out;
}

std::vector<double> gram_eigenvalues(const std::vector<double>& gram, std::int64_t n) {
  LatticeProblem problem;
  problem.columns = n;
  problem.gram = gram;
  if (n < 0) fail_input("gram", "of {} columns", n);
  check_gram(problem);
  Matrix<double> h(n, n);
  std::copy(gram.begin(), gram.end(), h.data());
  return n > 0 ? lattice::eigenvalues(h) : std::vector<double>();
}

double lattice_error_limit(const std::vector<double>& eigenvalues, const std::vector<double>& variances, double bits) {
  for (const double v : eigenvalues)
    if (!(v >= 0) || v > kLargest) fail_input("eigenvalues", "hold {}", v);
  for (const double v : variances)
    if (!(v >= 0) || v > kLargest) fail_input("variances", "hold {}", v);
  if (!(bits >= 0) || bits > 1000) fail_input("bits", "are {}", bits);
  if (eigenvalues.empty() || variances.empty()) return 0;
  return lattice::error_limit(eigenvalues, variances, bits);
}

}  // namespace nearplane
