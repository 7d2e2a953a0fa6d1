// check W -> weights of the columns -> grid -> codes -> codes and steps in turn -> pack -> measure what was packed.
#include "quant/quantize_linear.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "base/check.h"
#include "base/threads.h"
#include "lattice/assess.h"
#include "lattice/bound.h"
#include "lattice/error.h"
#include "lattice/factor.h"
#include "lattice/kbest.h"
#include "lattice/nearest_plane.h"
#include "lattice/order.h"
#include "quant/alternate.h"
#include "quant/hessian_state.h"
#include "quant/measure.h"
#include "quant/scale_search.h"
#include "tensor/half.h"

namespace nearplane {

namespace {

constexpr double kLargestEntry = 1e200;     // sums and products of entries stay finite
constexpr double kCertificateLimit = 1e-3;  // math: identity against direct error

void check_gram(const Matrix<double>& gram, const std::string& where) {
  assert(gram.rows() == gram.cols());
  for (std::int64_t i = 0; i < gram.rows(); ++i)
    for (std::int64_t j = 0; j <= i; ++j)
      if (!(std::abs(gram(i, j)) <= kLargestEntry))
        throw Error(ErrorCode::numerical,
                    fmt::format("entry ({}, {}) of the Gram matrix is {}: column {} of the inputs cannot be used", i, j,
                                gram(i, j), i),
                    where);
}

// What an error of column j costs, for the scale search; empty = no search. Columns outside the order cost nothing.
std::vector<double> column_weights(const Hessian::State* hessian, ScaleSearch search) {
  if (search == ScaleSearch::minmax) return {};
  assert(hessian != nullptr);
  const auto& factor = hessian->triangle.factor;
  std::vector<double> weights(static_cast<std::size_t>(factor.dimension));
  for (std::int64_t k = 0; k < factor.rank(); ++k) {
    const auto j = factor.order[k];
    weights[j] = search == ScaleSearch::diagonal ? hessian->gram(j, j) : factor.pivots[k] * factor.pivots[k];
  }
  return weights;
}

IntegerTensor pack(const Matrix<std::uint8_t>& codes, const lattice::Grid& grid, int bits, bool symmetric) {
  Matrix<std::uint16_t> scales(grid.step.rows(), grid.step.cols());
  Matrix<std::uint8_t> zeros(grid.zero.rows(), grid.zero.cols());
  for (std::int64_t i = 0; i < scales.size(); ++i) {
    scales.data()[i] = f32_to_f16(grid.step.data()[i]);
    zeros.data()[i] = static_cast<std::uint8_t>(grid.zero.data()[i]);
  }
  return pack_quantized(codes.view(), scales.view(), zeros.view(), bits, grid.group, symmetric);
}

// Codes, the grid they belong to, and what they cost.
struct Candidate {
  lattice::Grid grid;
  Matrix<std::uint8_t> codes;
  lattice::Outcome outcome;
};

lattice::Grid copy(const lattice::Grid& grid) {
  return {.group = grid.group, .max_code = grid.max_code, .step = grid.step.clone(), .zero = grid.zero.clone()};
}

template <class T>
Candidate decide(const Matrix<float>& w, const lattice::Triangle<T>& triangle, Solver solver, int beam,
                 const lattice::Grid& grid) {
  Candidate out{copy(grid), Matrix<std::uint8_t>(w.rows(), w.cols()), {}};
  out.outcome = solver == Solver::nearest_plane ? lattice::nearest_plane(w.view(), triangle, grid, out.codes.view())
                                                : lattice::kbest(w.view(), triangle, grid, beam, out.codes.view());
  return out;
}

// Row by row, the better of the two in `best`.
void keep_better(const Candidate& other, Candidate& best) {
  for (std::int64_t i = 0; i < best.codes.rows(); ++i) {
    if (!(other.outcome.error[i] < best.outcome.error[i])) continue;
    std::copy_n(other.codes.row(i), other.codes.cols(), best.codes.row(i));
    std::copy_n(other.grid.step.row(i), other.grid.step.cols(), best.grid.step.row(i));
    best.outcome.error[i] = other.outcome.error[i];
  }
}

// Codes for the searched steps, then codes and steps in turn, row by row only where that helped.
template <class T>
Candidate solve(const Matrix<float>& w, const Hessian::State& hessian, const lattice::Triangle<T>& triangle,
                const GridOptions& options, const lattice::Grid& grid) {
  auto best = decide(w, triangle, options.solver, options.beam, grid);
  if (options.alternate == 0) return best;
  Candidate other{copy(grid), best.codes.clone(), {}};
  alternate(w.view(), Metric<T>(hessian.gram, triangle.factor), options.alternate, other.grid, other.codes.view());
  other.outcome = lattice::assess<T>(w.view(), triangle, other.grid, other.codes.view());
  keep_better(other, best);
  best.outcome = lattice::assess<T>(w.view(), triangle, best.grid, best.codes.view());
  return best;
}

// One layer on its way through the steps.
struct LayerSolver {
  const Matrix<float>& w;
  const Hessian::State* hessian;
  const GridOptions& options;
  lattice::Grid grid;
  QuantizedLayer out;
  std::vector<double> direct;  // error of each row under the undamped H

  // Takes grid and codes; returns the rows' errors.
  std::vector<double> keep(Candidate solved) {
    grid = std::move(solved.grid);
    out.tensor = pack(solved.codes, grid, static_cast<int>(options.bits), options.symmetric);
    out.record.clipped_share = static_cast<double>(solved.outcome.clipped) / static_cast<double>(w.size());
    return std::move(solved.outcome.error);
  }

  void round() {
    lattice::Triangle<float> none;
    none.factor.dimension = w.cols();
    keep(decide(w, none, Solver::nearest_plane, 1, grid));
    if (hessian != nullptr) direct = lattice::row_errors<double>(differences(w, out.tensor).view(), hessian->gram);
  }

  // With the feedback in f32; where the certificate says that is not enough, in double.
  void nearest_plane() {
    const auto searched = copy(grid);
    certify(hessian->triangle, searched);
    if (out.record.certificate < kCertificateLimit) return;
    const auto& factor = hessian->triangle.factor;
    certify(lattice::factorize<double>(hessian->gram, factor.order, factor.damping), searched);
  }

  template <class T>
  void certify(const lattice::Triangle<T>& triangle, const lattice::Grid& searched) {
    const auto identity = keep(solve(w, *hessian, triangle, options, searched));
    const auto d = differences(w, out.tensor);
    direct = lattice::row_errors<double>(d.view(), hessian->gram);
    out.record.certificate = certificate(triangle.factor, identity, direct, d);
  }
};

// The worst case of nearest plane, relative to `norm`.
void record_bound(const Hessian::State& hessian, const lattice::Grid& grid, double norm, LayerRecord& record) {
  record.bound = ratio(lattice::error_bound(hessian.triangle.factor, grid), norm);
  record.expectation = record.bound / 3;
}

}  // namespace

Hessian::Hessian(const Matrix<double>& gram, Order order, double damping, const std::string& where)
    : state_(std::make_unique<State>()) {
  check_gram(gram, where);
  const auto columns =
      order == Order::natural ? lattice::natural_order(gram) : lattice::decreasing_diagonal_order(gram);
  state_->gram = gram.clone();
  state_->triangle = lattice::factorize<float>(gram, columns, damping);
  state_->squared_pivots = lattice::squared_pivots(gram);
}

Hessian::~Hessian() = default;
const Matrix<double>& Hessian::gram() const { return state_->gram; }
const lattice::Factor& Hessian::factor() const { return state_->triangle.factor; }

bool is_linear(Method method) { return method == Method::rounding || method == Method::nearest_plane; }

void check_search(const GridOptions& options, const std::string& where) {
  if (!(options.bits >= 2 && options.bits <= 8)) fail_input(where, "{} bits are outside 2 to 8", options.bits);
  if (options.bits != std::floor(options.bits))
    fail_input(where, "integer codes of {} bits; a real number of bits takes an entropy-coded method", options.bits);
  constexpr std::array kBeams{1, 2, 4, 8};
  constexpr int kMostRounds = 100;
  if (std::find(kBeams.begin(), kBeams.end(), options.beam) == kBeams.end())
    fail_input(where, "a beam of {} is not 1, 2, 4 or 8", options.beam);
  if (options.method == Method::rounding && options.solver != Solver::nearest_plane)
    fail_input(where, "plain rounding leaves K-best nothing to decide");
  if (!is_linear(options.method) && options.solver != Solver::nearest_plane)
    fail_input(where, "a published method is taken as published: by nearest plane, not by K-best");
  if (!is_linear(options.method) && options.symmetric)
    fail_input(where, "a published method is taken as published: symmetric grids are not its choice");
  if (options.alternate < 0 || options.alternate > kMostRounds)
    fail_input(where, "{} alternating rounds are outside 0 to {}", options.alternate, kMostRounds);
}

QuantizedLayer quantize_linear(const Matrix<float>& w, const Hessian* hessian, const GridOptions& options,
                               const std::string& where) {
  check_search(options, where);
  check_weights(w, hessian == nullptr ? w.cols() : hessian->state().gram.cols(), where);
  const auto group = options.group == 0 ? w.cols() : options.group;
  if (group < 1 || w.cols() % group != 0) fail_input(where, "groups of {} do not divide {} columns", group, w.cols());
  const auto* state = hessian == nullptr ? nullptr : &hessian->state();
  assert(state != nullptr || (options.method == Method::rounding && options.scales == ScaleSearch::minmax));

  auto grid = choose_grid(w.view(), column_weights(state, options.scales), static_cast<int>(options.bits), group,
                          options.symmetric, where);
  LayerSolver solver{.w = w, .hessian = state, .options = options, .grid = std::move(grid), .out = {}, .direct = {}};
  options.method == Method::rounding ? solver.round() : solver.nearest_plane();
  auto& record = solver.out.record;
  record.rows = w.rows(), record.cols = w.cols();
  record.bits = options.bits;
  record.bits_per_weight = solver.out.tensor.bits_per_weight();
  if (state != nullptr) {
    const double norm = record_error(*state, w, total(solver.direct), record);
    if (options.method == Method::nearest_plane) record_bound(*state, solver.grid, norm, record);
  }
  return std::move(solver.out);
}

}  // namespace nearplane
