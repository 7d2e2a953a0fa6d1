// The algorithms as their authors wrote them, for the reader and as oracles: plain loops over a few small matrices.
// Problem: min (w-q)^T H (w-q) over a grid, coordinate by coordinate; each function decides coordinates 0, 1, ... n-1
//   and makes the later ones pay for what rounding did to the earlier.
// Sources: OBS: Hassibi, Stork and Wolff, ICNN 1993. OBQ: Frantar and Alistarh, arXiv 2208.11580, in a fixed order.
// GPTQ:
//   Frantar et al., arXiv 2210.17323. Nearest plane: Babai, Combinatorica 6 (1986). That they agree: Chen et al., arXiv
//   2507.18553; Birnick, arXiv 2508.01077.
// T is double, or Fraction (fraction.h) for exact answers. No factor takes a square root: a row of GPTQ's U, or a
// vector of Babai's basis, may be scaled without changing a decision, so the same code serves both.
#pragma once

#include <cstdint>
#include <vector>

#include "lattice/fraction.h"

namespace nearplane::lattice::reference {

template <class T>
using Dense = std::vector<std::vector<T>>;

/// Coordinates stand in the order in which they are decided. q = step (z - zero); z in [0, max_code], or any integer if
/// max_code < 0.
template <class T>
struct Problem {
  Dense<T> w, step, zero;  // [m][n], m targets
  std::int64_t max_code = -1;

  T point(std::size_t row, std::size_t k, std::int64_t code) const { return step[row][k] * (T(code) - zero[row][k]); }
};

template <class T>
struct Solution {
  Dense<std::int64_t> codes;  // [m][n]
  Dense<T> targets;           // [m][n] c_k: what was rounded
  std::vector<T> pivots;      // [n] L_kk^2
  double margin = 0.5;        // least distance of a rounded number from a tie, in steps
  std::int64_t clipped = 0;   // codes whose target was more than half a step beyond the range
};

/// e_k = L_kk (c_k - q_k) of one row, [n].
std::vector<double> error_vector(const Problem<double>& problem, const Solution<double>& solution, std::size_t row);

/// After every decision the weights that are left move by Delta = -(c_k - q_k) / [F^-1]_kk F^-1 e_k, F the rows and
/// columns of h [n][n] that are left and F^-1 formed anew each time. Cost: n^4 / 2 + m n^2. Error{numerical} for h that
/// is not positive definite (all of these).
template <class T>
Solution<T> obq(const Problem<T>& problem, const Dense<T>& h);

/// The classic mistake: the part of the inverse of h that belongs to the coordinates left, for the inverse of that part
/// of h. Decides something else as soon as the second coordinate has feedback.
template <class T>
Solution<T> obq_with_slices_of_one_inverse(const Problem<T>& problem, const Dense<T>& h);

/// h^-1 = U^T U once; err_k = (c_k - q_k) / U_kk; row k of U times err_k is subtracted from the weights that are left.
template <class T>
Solution<T> gptq(const Problem<T>& problem, const Dense<T>& h);

/// The same with storage reversed: runs from the last column to the first, V lower triangular, h^-1 = V^T V, V = R^-T
/// for h = R^T R. So run GPTQ is Babai with the usual QR factor.
template <class T>
Solution<T> gptq_back_to_front(const Problem<T>& problem, const Dense<T>& h);

/// Parameter space: h = L^T L, c_k = w_k + sum_{j<k} L_kj / L_kk (w_j - q_j).
template <class T>
Solution<T> nearest_plane(const Problem<T>& problem, const Dense<T>& h);

/// Data space, Babai's own words: basis vectors are the columns of x [t][n], the target is x w. Gram-Schmidt from the
/// last column to the first; c_k = <target, g_k> / <g_k, g_k>; the target moves by q_k times column k to the next
/// plane. Damping is further rows of x. Error{numerical} for dependent columns.
template <class T>
Solution<T> nearest_plane_in_data_space(const Problem<T>& problem, const Dense<T>& x);

/// The continuous limit of one step, Optimal Brain Surgeon: weight k changes by `change` (to its level, or to zero when
/// it is pruned), every other weight moves so that delta^T h delta is least.
struct ObsStep {
  std::vector<double> delta;  // [n], delta[k] = change
  double cost = 0;            // delta^T h delta = change^2 / [h^-1]_kk
};
ObsStep obs_step(const Dense<double>& h, std::size_t k, double change);

}  // namespace nearplane::lattice::reference
