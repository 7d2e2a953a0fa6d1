// What states and survivors save: bits per weight against scalar rounding at equal error, on a Gram matrix with
// correlated inputs and Gaussian or Laplace weights, steps by WaterSIC's rule (every pivot c). Bits are ideal code
// lengths: the entropy of the levels by class of row size over column step (quarter octaves) and quantizer, without the
// tables themselves. Tables are adapted by two passes after one without prices. Prints JSON, a line per case.
// Arguments: rows (default 512), columns (512).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "base/rng.h"
#include "lattice/factor.h"
#include "lattice/list_search.h"
#include "lattice/order.h"

namespace {

using namespace nearplane;
using namespace nearplane::lattice;

constexpr int kReach = 63;

struct Layer {
  Matrix<float> w;
  Triangle<float> l;
  std::vector<int> row_class, column_class;
  int classes = 0;

  Layer(std::int64_t m, std::int64_t n, bool laplace) : w(m, n) {
    Rng rng(1);
    // H = D G^T diag(1/i) G D: eigenvalues that fall like 1/i, columns of different size.
    Matrix<double> g(n, n), h(n, n);
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < n; ++j) g(i, j) = rng.normal() / std::sqrt(static_cast<double>(i + 1));
    std::vector<double> size(static_cast<std::size_t>(n));
    for (auto& s : size) s = std::exp(0.5 * rng.normal());
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t a = 0; a < n; ++a)
        for (std::int64_t b = 0; b <= a; ++b) h(a, b) += g(i, a) * g(i, b) * size[a] * size[b];
    l = factorize<float>(h, natural_order(h), 0.01);
    for (std::int64_t i = 0; i < m; ++i) {
      const double rms = std::exp(0.3 * rng.normal());
      row_class.push_back(static_cast<int>(std::lround(4 * std::log2(rms))));
      for (std::int64_t j = 0; j < n; ++j) {
        const double u = rng.uniform() - 0.5;
        const double x = laplace ? -std::copysign(std::log(1 - 2 * std::abs(u)), u) / std::sqrt(2.0) : rng.normal();
        w(i, j) = static_cast<float>(rms * x);
      }
    }
    for (const double pivot : l.factor.pivots)
      column_class.push_back(static_cast<int>(std::lround(-4 * std::log2(pivot))));
    number_classes();
  }

 private:
  void number_classes() {
    const auto [low_row, high_row] = std::minmax_element(row_class.begin(), row_class.end());
    const auto [low, high] = std::minmax_element(column_class.begin(), column_class.end());
    const int offset = *high - *low_row;
    classes = *high_row - *low + offset + 1;
    for (auto& c : row_class) c += offset;
  }
};

struct Quantized {
  Matrix<std::int16_t> levels;
  double error = 0, bits = 0;  // of the layer; per weight
};

// Half a count for every level that did not occur; `ideal` receives the entropy in bits.
LevelCosts count(const Layer& layer, const ListOptions& o, const Matrix<std::int16_t>& levels, double* ideal) {
  constexpr int kWidth = 2 * kReach + 1;
  std::vector<double> counts(static_cast<std::size_t>(layer.classes * 2 * kWidth));
  for (std::int64_t i = 0; i < levels.rows(); ++i)
    for (std::int64_t j = 0, state = 0; j < levels.cols(); ++j) {
      if (j % o.restart == 0) state = 0;
      const int table = 2 * (layer.row_class[i] - layer.column_class[j]) + Trellis::quantizer(static_cast<int>(state));
      ++counts[table * kWidth + kReach + std::clamp<int>(levels(i, j), -kReach, kReach)];
      state = o.trellis.next(static_cast<int>(state), levels(i, j));
    }
  LevelCosts costs{.classes = layer.classes,
                   .reach = kReach,
                   .bits = {},
                   .row_class = layer.row_class,
                   .column_class = layer.column_class};
  *ideal = 0;
  for (std::size_t at = 0; at < counts.size(); at += kWidth) {
    double total = 0, smooth = 0;
    for (int z = 0; z < kWidth; ++z) total += counts[at + z], smooth += std::max(counts[at + z], 0.5);
    for (int z = 0; z < kWidth; ++z) {
      costs.bits.push_back(static_cast<float>(std::log2(smooth / std::max(counts[at + z], 0.5))));
      if (counts[at + z] > 0) *ideal += counts[at + z] * std::log2(total / counts[at + z]);
    }
  }
  return costs;
}

Quantized quantize(const Layer& layer, double c, const ListOptions& options) {
  const auto m = layer.w.rows(), n = layer.w.cols();
  const auto& pivots = layer.l.factor.pivots;
  Matrix<float> t(m, n);
  Triangle<float> l{layer.l.factor, layer.l.rows.clone()};
  std::fill(l.factor.pivots.begin(), l.factor.pivots.end(), c);
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) t(i, j) = static_cast<float>(layer.w(i, j) * pivots[j] / c);
  for (std::int64_t k = 0; k < n; ++k)
    for (std::int64_t j = 0; j < k; ++j) l.rows(k, j) *= static_cast<float>(pivots[k] / pivots[j]);
  Quantized q{Matrix<std::int16_t>(m, n)};
  LevelCosts costs;
  for (int pass = 0; pass < (options.lambda > 0 ? 3 : 1); ++pass) {
    auto o = options;
    if (pass == 0) o.lambda = 0;
    const auto out = list_search(t.view(), l, o, costs, q.levels.view());
    q.error = 0;
    for (const double e : out.error) q.error += e;
    costs = count(layer, o, q.levels, &q.bits);
    q.bits /= static_cast<double>(m * n);
  }
  return q;
}

// At `bits` per weight; a step times 2^r has about r bits less.
Quantized at_rate(const Layer& layer, double bits, const ListOptions& options, double& c) {
  auto q = quantize(layer, c, options);
  for (int i = 0; i < 6 && std::abs(q.bits - bits) > 1e-3; ++i) {
    c *= std::exp2(q.bits - bits);
    q = quantize(layer, c, options);
  }
  return q;
}

void compare(const Layer& layer, const char* source, double bits) {
  double c = 0;
  for (const double pivot : layer.l.factor.pivots) c += std::log2(pivot) / static_cast<double>(layer.w.cols());
  c = std::exp2(c + 2.1 - bits);
  const auto plain = at_rate(layer, bits, {}, c);
  double finer = c * std::exp2(-0.3);
  const auto better = at_rate(layer, bits + 0.3, {}, finer);
  const double bits_per_octave = (better.bits - plain.bits) / std::log2(plain.error / better.error);
  struct Case {
    int states, survivors;
  };
  for (const auto& [states, survivors] :
       {Case{1, 1}, {1, 4}, {1, 8}, {4, 1}, {4, 4}, {4, 8}, {8, 1}, {8, 2}, {8, 4}, {8, 8}, {16, 2}, {16, 4}}) {
    const auto q = at_rate(
        layer, bits, {.trellis = *find_trellis(states), .survivors = survivors, .lambda = states == 1 ? 0.1 : 0.06}, c);
    const double saved = plain.bits + bits_per_octave * std::log2(plain.error / q.error) - q.bits;
    fmt::print("{{\"source\": \"{}\", \"states\": {}, \"survivors\": {}, \"bits\": {:.4f}, \"saved\": {:.3f}}}\n",
               source, states, survivors, q.bits, saved);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t m = argc > 1 ? std::atoll(argv[1]) : 512, n = argc > 2 ? std::atoll(argv[2]) : 512;
  for (const bool laplace : {false, true}) {
    const Layer layer(m, n, laplace);
    for (const double bits : {2.1, 3.1}) compare(layer, laplace ? "laplace" : "gauss", bits);
  }
}
