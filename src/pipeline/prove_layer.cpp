#include "pipeline/prove_layer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lattice/bound.h"
#include "lattice/data_factor.h"
#include "lattice/nearest_plane.h"
#include "lattice/order.h"

namespace nearplane {
namespace {

using namespace lattice::reference;

constexpr double kGap = 1e-9;

lattice::Grid grid_of(const Problem<double>& p) {
  const auto m = std::ssize(p.w), n = std::ssize(p.w[0]);
  lattice::Grid grid{.group = n, .max_code = static_cast<int>(p.max_code), .step = {m, 1}, .zero = {m, 1}};
  for (std::int64_t i = 0; i < m; ++i) {
    grid.step(i, 0) = static_cast<float>(p.step[i][0]);
    grid.zero(i, 0) = static_cast<float>(p.zero[i][0]);
  }
  return grid;
}

// The blocked solver knows the sum of e_k^2 alone: its gap is that of the sum.
Comparison compare_solver(std::string algorithm, const LayerCase& layer, const Problem<double>& p,
                          const Solution<double>& want, const lattice::Triangle<double>& l) {
  Comparison out{.algorithm = std::move(algorithm)};
  Matrix<std::uint8_t> codes(layer.w.rows(), layer.w.cols());
  const auto outcome = lattice::nearest_plane<double>(layer.w.view(), l, grid_of(p), codes.view());
  for (std::int64_t i = 0; i < codes.rows(); ++i) {
    const auto e = error_vector(p, want, i);
    const double sum = std::inner_product(e.begin(), e.end(), e.begin(), 0.0);
    for (std::int64_t k = 0; k < codes.cols(); ++k) out.different += codes(i, k) != want.codes[i][k];
    out.gap = std::max(out.gap, std::abs(outcome.error[i] - sum) / std::max(sum, 1e-300));
  }
  return out;
}

// d^T h d of all rows.
double quadratic(const Dense<double>& h, const Dense<double>& rows) {
  double sum = 0;
  for (const auto& d : rows)
    for (std::size_t i = 0; i < h.size(); ++i) sum += d[i] * std::inner_product(d.begin(), d.end(), h[i].begin(), 0.0);
  return sum;
}

void measure(const LayerCase& layer, const ReferenceProblem& r, const Solution<double>& solution,
             const lattice::Factor& factor, ProvedLayer& out) {
  const auto& p = r.problem;
  const double norm = quadratic(r.h, p.w);
  auto d = p.w;
  std::vector<double> variances;
  for (std::size_t i = 0; i < p.w.size(); ++i) {
    const auto e = error_vector(p, solution, i);
    out.error += std::inner_product(e.begin(), e.end(), e.begin(), 0.0) / norm;
    for (std::size_t k = 0; k < d[i].size(); ++k) d[i][k] -= p.point(i, k, solution.codes[i][k]);
    variances.push_back(std::inner_product(p.w[i].begin(), p.w[i].end(), p.w[i].begin(), 0.0) /
                        static_cast<double>(p.w[i].size()));
  }
  out.direct = quadratic(r.h, d) / norm;
  out.bound = lattice::error_bound(factor, grid_of(p)) / norm;
  Matrix<double> h(layer.w.cols(), layer.w.cols());
  for (std::int64_t i = 0; i < h.rows(); ++i) std::copy_n(r.h[i].begin(), h.cols(), h.row(i));
  out.limit = lattice::error_limit(lattice::eigenvalues(h), variances, out.bits) / norm;
}

}  // namespace

ReferenceProblem reference_problem(const LayerCase& layer, int bits, double step_factor) {
  ReferenceProblem out;
  auto& p = out.problem;
  const auto n = layer.w.cols();
  p.max_code = (1 << bits) - 1;
  for (std::int64_t i = 0; i < layer.w.rows(); ++i) {
    const float* w = layer.w.row(i);
    float largest = 0;
    for (std::int64_t j = 0; j < n; ++j) largest = std::max(largest, std::abs(w[j]));
    const auto levels = static_cast<float>((1 << (bits - 1)) - 1);
    // An f32 number, as the solver has it; a row of zeros gets any step.
    const float step = largest > 0 ? largest * static_cast<float>(step_factor) / levels : 1.0f;
    p.w.emplace_back(w, w + n);
    p.step.emplace_back(n, static_cast<double>(step));
    p.zero.emplace_back(n, static_cast<double>(1 << (bits - 1)));
  }
  for (std::int64_t t = 0; t < layer.x.rows(); ++t) out.x.emplace_back(layer.x.row(t), layer.x.row(t) + n);
  out.h.assign(n, std::vector<double>(n));
  for (const auto& row : out.x)
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j) out.h[i][j] += row[i] * row[j];
  return out;
}

Comparison compare(std::string algorithm, const Problem<double>& p, const Solution<double>& want,
                   const Solution<double>& have) {
  Comparison out{.algorithm = std::move(algorithm)};
  for (std::size_t i = 0; i < p.w.size(); ++i) {
    const auto a = error_vector(p, want, i), b = error_vector(p, have, i);
    const double length = std::sqrt(std::inner_product(a.begin(), a.end(), a.begin(), 0.0));
    for (std::size_t k = 0; k < a.size(); ++k) {
      out.different += want.codes[i][k] != have.codes[i][k];
      out.gap = std::max(out.gap, std::abs(a[k] - b[k]) / std::max(length, 1e-300));
    }
  }
  return out;
}

ProvedLayer prove_layer(const LayerCase& layer, int bits, double step_factor) {
  const auto r = reference_problem(layer, bits, step_factor);
  const auto& p = r.problem;
  const auto plane = nearest_plane(p, r.h);
  ProvedLayer out;
  out.name = layer.name, out.bits = bits;
  out.rows = layer.w.rows(), out.columns = layer.w.cols();
  out.clipped = plane.clipped, out.margin = plane.margin;
  out.comparisons.push_back(
      compare("nearest plane in data space (Gram-Schmidt of X)", p, plane, nearest_plane_in_data_space(p, r.x)));
  out.comparisons.push_back(compare("GPTQ (U of the inverse of H)", p, plane, gptq(p, r.h)));
  out.comparisons.push_back(compare("GPTQ back to front (R of H)", p, plane, gptq_back_to_front(p, r.h)));
  out.comparisons.push_back(compare("OBQ (inverse of what is left of H)", p, plane, obq(p, r.h)));

  lattice::DataFactor data(layer.x.cols());
  data.add<double>(layer.x.view(), layer.name);
  const auto h = data.gram();
  const auto order = lattice::natural_order(h);
  const auto l = lattice::factorize<double>(h, order, 0);
  out.comparisons.push_back(compare_solver("this solver, H factored", layer, p, plane, l));
  out.comparisons.push_back(
      compare_solver("this solver, X streamed", layer, p, plane, data.factorize<double>(order, 0)));

  measure(layer, r, plane, l.factor, out);
  out.agrees = std::all_of(out.comparisons.begin(), out.comparisons.end(),
                           [](const auto& c) { return c.different == 0 && c.gap <= kGap; }) &&
               std::abs(out.error - out.direct) <= kGap * out.direct && (out.clipped > 0 || out.error <= out.bound);
  return out;
}

}  // namespace nearplane
