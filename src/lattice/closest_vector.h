// One closest-vector problem, small and in double, and the solvers that are studied on it and serve as oracles.
// Problem: min over integers z of |L (t - z)|^2, L [n,n] lower triangular with positive diagonal, z_k in [low, high].
//   A row w of a layer with steps s and zero points is this problem with L diag(s) and t_k = w_k / s_k + zero_k.
// Coordinates are positions: decided first to last. Everything here is single-threaded.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "lattice/factor.h"
#include "lattice/grid.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

struct ClosestVector {
  static constexpr std::int64_t kUnbounded = std::int64_t{1} << 52;  // integers a double still tells apart

  Matrix<double> l;            // [n,n], only the lower triangle is read
  std::vector<double> target;  // [n] t
  std::int64_t low = -kUnbounded, high = kUnbounded;

  std::int64_t size() const { return static_cast<std::int64_t>(target.size()); }
};

struct Solution {
  std::vector<std::int64_t> codes;                         // [n] z, by position
  double error = std::numeric_limits<double>::infinity();  // |L (t - z)|^2
  bool optimal = false;                                    // proved: no other z of the range is closer
  std::int64_t nodes = 0;                                  // partial solutions looked at: what was spent
};

/// Throws Error{bad_input} at `where` unless l is [n,n] with finite entries of at most 1e100 and pivots of at least
/// 1e-100, targets are finite and below 2^51, and low <= high. n = 0 is fine. Every solver below calls it.
void check(const ClosestVector& problem, const std::string& where);

/// Row `row` of a layer, in the order of the factor.
ClosestVector row_problem(const Triangle<double>& l, const Grid& grid, MatrixView<const float> w, std::int64_t row);

double error_of(const ClosestVector& problem, const std::vector<std::int64_t>& codes);

/// Babai 1986: the level nearest to every target in turn. Optimal where L is diagonal.
Solution nearest_plane(const ClosestVector& problem);

/// K-best as the kernel does it, but without closing columns: each of the `beam` survivors is extended by its `levels`
/// nearest levels. With enough of both every point of a finite range is visited, and that is proved.
Solution kbest(const ClosestVector& problem, std::int64_t beam, std::int64_t levels);

/// Klein's sampler (SODA 2000): nearest plane that takes a level at distance x (in error units) with a probability
/// proportional to exp(-x^2 / temperature); the best of `tries` runs and nearest plane itself. The same for a seed.
Solution randomized_plane(const ClosestVector& problem, double temperature, std::int64_t tries, std::uint64_t seed);

/// Depth-first enumeration, nearest levels first (Schnorr and Euchner 1994), starting from nearest plane's point.
/// Stops after `budget` nodes: then the best point so far, optimal = false.
Solution enumerate(const ClosestVector& problem, std::int64_t budget);

/// Enumeration of blocks of `block` columns in turn, each with the feedback of those before it. block = 1 is nearest
/// plane, block >= n enumerate(). `budget` nodes for each block; optimal only for a single block.
Solution enumerate_blocks(const ClosestVector& problem, std::int64_t block, std::int64_t budget);

}  // namespace nearplane::lattice
