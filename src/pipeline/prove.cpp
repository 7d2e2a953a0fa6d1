#include "nearplane/prove.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/rng.h"
#include "lattice/bound.h"
#include "lattice/data_factor.h"
#include "lattice/order.h"
#include "lattice/predict.h"
#include "pipeline/layer_case.h"
#include "pipeline/prove_layer.h"

namespace nearplane {
namespace {

using namespace lattice::reference;
using lattice::Fraction;

constexpr std::int64_t kColumns = 64;  // of the synthetic layers
constexpr std::int64_t kLattices = 200;

void check_options(const ProveOptions& options) {
  if (options.rows < 1 || options.rows > 1024) fail_input("rows", "{} is outside 1 to 1024", options.rows);
  if (options.columns < 2 || options.columns > 4096) fail_input("columns", "{} is outside 2 to 4096", options.columns);
  if (options.model.empty() && !options.layer.empty()) fail_input("layer", "'{}' of which model?", options.layer);
  if (options.calibration.samples < 1) fail_input("samples", "{} windows are none", options.calibration.samples);
  if (options.calibration.length < 2) fail_input("length", "a window of {} is too short", options.calibration.length);
}

// Small lattices with integer bases and targets in quarters, where ties are frequent and arithmetic is exact.
void prove_exactly(std::uint64_t seed, ProveResult& out) {
  Rng rng(seed);
  const auto draw = [&](std::int64_t span) {
    return static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(2 * span + 1))) - span;
  };
  for (; out.exact_lattices < kLattices; ++out.exact_lattices) {
    Dense<Fraction> x(5, std::vector<Fraction>(3)), h(3, std::vector<Fraction>(3));
    for (auto& row : x)
      for (auto& value : row) value = draw(3);
    for (std::size_t k = 0; k < 3; ++k) x[k + 1][k] = 5;
    for (const auto& row : x)
      for (std::size_t i = 0; i < 3; ++i)
        for (std::size_t j = 0; j < 3; ++j) h[i][j] += row[i] * row[j];
    Problem<Fraction> p{.w = {{}}, .step = {{1, Fraction(1, 2), 1}}, .zero = {{2, 2, 2}}};
    for (int k = 0; k < 3; ++k) p.w[0].emplace_back(draw(9), 4);
    p.max_code = out.exact_lattices % 2 == 0 ? -1 : 4;  // every other one without a range
    const auto plane = nearest_plane(p, h);
    for (const auto& other : {nearest_plane_in_data_space(p, x), gptq(p, h), gptq_back_to_front(p, h), obq(p, h)})
      out.exact_different +=
          other.codes != plane.codes || other.targets != plane.targets || other.pivots != plane.pivots;
    out.exact_ties += plane.margin == 0;
  }
}

// Error over bound of the target for which every c_k is half a step from the nearest point.
double attained_in_the_corner(const LayerCase& layer) {
  auto r = reference_problem(layer, 8);
  auto& p = r.problem;
  p.max_code = -1;
  const auto n = r.h.size();
  p.w.resize(1), p.w[0].assign(n, 0.0);
  for (std::size_t k = 0; k < n; ++k) {  // c_k is w_k plus what nearest plane says feedback adds
    const double feedback = nearest_plane(p, r.h).targets[0][k] - p.w[0][k];
    p.w[0][k] = (0.5 - 1e-9) * p.step[0][k] - feedback;
  }
  const auto solution = nearest_plane(p, r.h);
  double error = 0, bound = 0;
  for (const double e : error_vector(p, solution, 0)) error += e * e;
  for (std::size_t k = 0; k < n; ++k) bound += solution.pivots[k] * p.step[0][k] * p.step[0][k] / 4;
  return error / bound;
}

std::int64_t count_different(const Dense<std::int64_t>& a, const Dense<std::int64_t>& b) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t k = 0; k < a[i].size(); ++k) count += a[i][k] != b[i][k];
  return count;
}

// The same layer with its columns decided from the last to the first, codes put back.
Dense<std::int64_t> decided_backwards(const ReferenceProblem& r) {
  auto p = r.problem;
  auto h = r.h;
  const auto reverse = [](auto& rows) {
    for (auto& row : rows) std::reverse(row.begin(), row.end());
  };
  reverse(p.w), reverse(p.step), reverse(p.zero), reverse(h);
  std::reverse(h.begin(), h.end());
  auto codes = nearest_plane(p, h).codes;
  reverse(codes);
  return codes;
}

void find_departures(const LayerCase& layer, ProveResult& out) {
  const auto r = reference_problem(layer, 4);
  const auto& p = r.problem;
  const auto plain = nearest_plane(p, r.h).codes;
  const auto note = [&](const char* change, const Dense<std::int64_t>& codes) {
    out.departures.push_back({change, count_different(plain, codes), layer.w.size()});
  };
  auto damped = r.h, diagonal = r.h;
  for (std::size_t i = 0; i < r.h.size(); ++i) {
    damped[i][i] *= 1.1;
    for (std::size_t j = 0; j < r.h.size(); ++j) diagonal[i][j] = i == j ? r.h[i][j] : 0.0;
  }
  note("columns decided in the opposite order", decided_backwards(r));
  note("a tenth of the diagonal added as damping", gptq(p, damped).codes);
  note("slices of one inverse instead of the inverse of what is left", obq_with_slices_of_one_inverse(p, r.h).codes);
  note("no feedback: rounding to nearest", nearest_plane(p, diagonal).codes);
}

void find_orders(const LayerCase& layer, ProveResult& out) {
  lattice::DataFactor data(layer.x.cols());
  data.add<double>(layer.x.view(), layer.name);
  const auto h = data.gram();
  double trace = 0;
  for (std::int64_t j = 0; j < h.cols(); ++j) trace += h(j, j);
  const auto note = [&](const char* name, const std::vector<std::int64_t>& order) {
    const auto factor = lattice::factorize<double>(h, order, 0).factor;
    double sum = 0;
    for (const double pivot : factor.pivots) sum += pivot * pivot;
    const double columns = static_cast<double>(h.cols());
    out.orders.push_back({name, lattice::log_determinant(factor) / std::log(2.0) / columns, sum / trace});
  };
  auto increasing = lattice::decreasing_diagonal_order(h);
  std::reverse(increasing.begin(), increasing.end());
  note("by increasing H_jj", lattice::given_order(h, increasing, layer.name));
  note("as stored", lattice::natural_order(h));
  note("by decreasing H_jj (act-order)", lattice::decreasing_diagonal_order(h));
  note("least pivot last (min-pivot)", lattice::min_pivot_order(h, 0));
}

// Where double precision ends: pairs of columns that agree to more and more digits.
void find_precision(std::uint64_t seed, ProveResult& out) {
  for (int digits = 1; digits <= 5; ++digits) {
    auto r = reference_problem(paired_case(1, 12, digits, seed), 8);
    r.problem.max_code = -1;
    const auto exact = nearest_plane_in_data_space(r.problem, r.x);
    const auto gap = [&](const auto& algorithm) {
      try {
        return compare("", r.problem, exact, algorithm(r.problem, r.h)).gap;
      } catch (const Error&) {  // what rounding left of the matrix is not positive definite
        return HUGE_VAL;
      }
    };
    out.precision.push_back({digits, gap(gptq<double>), gap(nearest_plane<double>)});
  }
}

// Mean error of a row under r.h when it is decided under h.
double mean_error(const ReferenceProblem& r, const Dense<double>& h) {
  const auto solution = nearest_plane(r.problem, h);
  double error = 0;
  for (std::size_t i = 0; i < r.problem.w.size(); ++i) {
    auto d = r.problem.w[i];
    for (std::size_t k = 0; k < d.size(); ++k) d[k] -= r.problem.point(i, k, solution.codes[i][k]);
    for (std::size_t k = 0; k < d.size(); ++k)
      error += d[k] * std::inner_product(d.begin(), d.end(), r.h[k].begin(), 0.0);
  }
  return error / static_cast<double>(r.problem.w.size());
}

// Gaussian weights of variance 1, so that E w^T H w = tr H.
void predict(std::uint64_t seed, ProveResult& out) {
  const auto layer = random_case(1000, kColumns, seed);
  for (int bits = 2; bits <= 8; ++bits) {
    const auto r = reference_problem(layer, bits);
    Dense<double> diagonal(r.h.size(), std::vector<double>(r.h.size()));  // under which nearest plane is rounding
    double trace = 0, pivots = 0;
    for (std::size_t k = 0; k < r.h.size(); ++k) trace += diagonal[k][k] = r.h[k][k];
    for (const double pivot : nearest_plane(r.problem, r.h).pivots) pivots += pivot;
    const double each = lattice::absmax_integer_error(1, kColumns, bits);
    out.predictions.push_back(
        {bits, each, mean_error(r, diagonal) / trace, each * pivots / trace, mean_error(r, r.h) / trace});
  }
}

bool all_hold(const ProveResult& r) {
  return std::all_of(r.layers.begin(), r.layers.end(), [](const auto& l) { return l.agrees; }) &&
         r.exact_different == 0 && r.exact_ties > 0 && r.attained > 1 - 1e-6 && r.attained <= 1 &&
         std::all_of(r.departures.begin(), r.departures.end(), [](const auto& d) { return d.different > 0; });
}

}  // namespace

ProveResult prove(const ProveOptions& options, Observer& observer) {
  check_options(options);
  ProveResult out;
  const std::int64_t total = options.model.empty() ? 4 : 6;
  const auto add = [&](const LayerCase& layer, int bits, double step_factor) {
    if (observer.cancelled()) throw Error(ErrorCode::cancelled, "stopped");
    out.layers.push_back(prove_layer(layer, bits, step_factor));
    observer.on_progress({.stage = "prove", .item = layer.name, .done = std::ssize(out.layers), .total = total});
  };
  const auto random = random_case(options.rows, kColumns, options.seed);
  const auto paired = paired_case(options.rows, kColumns, 1, options.seed);
  // Steps of twice the absmax rule, so that feedback stays in range; then of half of it, which clips.
  add(random, 8, 2), add(random, 3, 0.5);
  add(paired, 8, 2), add(paired, 3, 0.5);
  if (!options.model.empty()) {
    const auto layer = model_case(options, observer);
    add(layer, 8, 2), add(layer, 3, 0.5);
  }
  // A thousand integers whatever the number of rows: enough for every departure to show.
  const auto enough = random_case(16, kColumns, options.seed);
  prove_exactly(options.seed, out);
  out.attained = attained_in_the_corner(enough);
  find_departures(enough, out);
  find_orders(enough, out);
  find_precision(options.seed, out);
  predict(options.seed, out);
  out.passed = all_hold(out);
  return out;
}

}  // namespace nearplane
