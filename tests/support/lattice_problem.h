// Random problems for tests of lattice/ and quant/.
#pragma once

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "lattice/grid.h"
#include "tensor/matrix.h"

namespace nearplane {

inline Matrix<float> random_weights(std::int64_t m, std::int64_t n, std::uint64_t seed) {
  Matrix<float> w(m, n);
  Rng rng(seed);
  for (auto& value : w.span()) value = static_cast<float>(rng.normal());
  return w;
}

/// X^T X [n,n], full, for X [samples,n] = a common part in every column + noise, columns of very different size.
inline Matrix<double> random_gram(std::int64_t n, std::int64_t samples, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<double> size(static_cast<std::size_t>(n));
  for (auto& s : size) s = std::exp(0.7 * rng.normal());
  Matrix<double> h(n, n);
  std::vector<double> x(size.size());
  for (std::int64_t t = 0; t < samples; ++t) {
    const double common = rng.normal();
    for (std::int64_t j = 0; j < n; ++j) x[j] = size[j] * (0.6 * common + rng.normal());
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j <= i; ++j) h(i, j) += x[i] * x[j];
  }
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j) h(j, i) = h(i, j);
  return h;
}

/// Steps between `step` and twice that, zero points around the middle.
inline lattice::Grid random_grid(std::int64_t m, std::int64_t n, std::int64_t group, int bits, double step,
                                 std::uint64_t seed) {
  Rng rng(seed);
  lattice::Grid grid{.group = group, .max_code = (1 << bits) - 1, .step = {m, n / group}, .zero = {m, n / group}};
  for (auto& s : grid.step.span()) s = static_cast<float>(step * (1 + rng.uniform()));
  for (auto& z : grid.zero.span()) z = static_cast<float>((1 << (bits - 1)) - 1 + static_cast<int>(rng.below(3)));
  return grid;
}

}  // namespace nearplane
