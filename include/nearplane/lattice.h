// Closest vectors on your own matrices: every algorithm of the library behind one call, in double, no network anywhere.
// Problem: per row w of the target, min over integers z of (w - q)^T H (w - q), q_j = step_j (z_j - zero_j), H = X^T X:
//   the closest vector to X w in the lattice with basis X diag(step).
// Sources: Chen et al., arXiv 2507.18553; Birnick, arXiv 2508.01077; each solver names its own in src/lattice.
#pragma once

#include <cstdint>
#include <vector>

namespace nearplane {

enum class LatticeSolver {
  nearest_plane,  // Babai 1986: column by column, with feedback. O(n^2) per row
  gptq,           // as published, with the factor of H^-1; the same integers. No `data`
  obq,            // as published, with the inverse of what is left of H; the same integers, O(n^4). No `data`
  kbest,          // the `beam` best partial solutions instead of one
  klein,          // the best of `tries` randomised runs, drawn with `seed`
  enumeration,    // Schnorr-Euchner: the closest vector itself where `budget` nodes suffice
  reduced_plane,  // nearest plane in the LLL-reduced basis (BKZ with blocks of `block`); without a range only
  embedding,      // Kannan's embedding and LLL (BKZ)
};

enum class LatticeOrder {
  natural,    // first to last
  act,        // decreasing H_jj
  min_pivot,  // least sum of pivots, greedily
  given,      // LatticeOptions::given_order
};

/// Matrices are row-major.
struct LatticeProblem {
  std::int64_t rows = 0, columns = 0;  // m targets, n coordinates
  std::vector<double> target;          // [m, n]
  std::vector<double> gram;            // [n, n] symmetric, H; or empty, and instead
  std::vector<double> data;            // [t, n] X, which is factored itself: X^T X would square its condition number
  std::vector<double> step;            // [n], or [m, n]; > 0
  std::vector<double> zero;            // [n], or [m, n], or empty: 0
  bool bounded = false;                // codes only in
  std::int64_t low = 0, high = 0;      //   [low, high]
};

struct LatticeOptions {
  LatticeSolver solver = LatticeSolver::nearest_plane;
  LatticeOrder order = LatticeOrder::natural;
  std::vector<std::int64_t> given_order;  // of LatticeOrder::given: each coordinate once
  double damping = 0;             // lambda of H + lambda mean(diag H) I; raised tenfold while H cannot be factored
  std::int64_t beam = 8;          // kbest
  std::int64_t tries = 100;       // klein
  double temperature = 0;         // klein; 0 = the mean squared error of a uniform remainder, mean(L_kk^2 step^2) / 12
  std::uint64_t seed = 0;         // klein
  std::int64_t budget = 1000000;  // enumeration, nodes per row
  int block = 0;                  // reduced_plane, embedding: 0 = LLL
  int descent = 0;                // afterwards: rounds of changing codes by one while the error falls
};

struct LatticeSolution {
  std::vector<std::int64_t> codes;  // [m, n]
  std::vector<double> errors;       // [m, r] error coordinates e_k by position; their squares sum to `error`
  std::vector<double> error;        // [m] (w-q)^T (H + shift I) (w-q)
  std::vector<double> bound;        // [m] worst case of nearest plane, 1/4 sum L_kk^2 step_k^2, for codes not at an end
  std::vector<std::uint8_t> optimal;  // [m] 1: proved that no other codes are closer
  std::vector<std::int64_t> nodes;    // [m] partial solutions looked at
  std::vector<std::int64_t> order;    // [r] position -> coordinate; coordinates with H_jj = 0 are left out and rounded
  std::vector<double> pivots;         // [r] L_kk
  double damping = 0, shift = 0;      // lambda in the end, and what it added to the diagonal
  int repairs = 0;                    // times lambda was raised
};

/// Rows are independent and share the threads; same bits for any number of them. m = 0 and n = 0 are fine.
/// Error{bad_input} naming matrix, entry and number: sizes that do not fit, entries that are not finite or above 1e100,
/// steps that are not positive normal numbers, an order with a repeat, a solver that does not take what it is given;
/// Error{numerical} where gptq and obq meet an H that is not positive definite (they are run as published: no repair).
LatticeSolution solve_closest_vectors(const LatticeProblem& problem, const LatticeOptions& options);

/// Eigenvalues of a Gram matrix [n, n], ascending.
std::vector<double> gram_eigenvalues(const std::vector<double>& gram, std::int64_t n);

/// Least mean error, summed over rows, of any code with `bits` per weight for independent Gaussian weights, row i with
/// variance variances[i]: reverse water-filling over the eigenvalues of H (Cover and Thomas, 10.3).
double lattice_error_limit(const std::vector<double>& eigenvalues, const std::vector<double>& variances, double bits);

}  // namespace nearplane
