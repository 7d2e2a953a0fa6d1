// What can be said about the error before anything is decided: the worst case of nearest plane, and what no code can
// undercut.
// Worst case: |e_k| <= s_k L_kk / 2 for codes that were not clipped (Babai 1986), so 1/4 sum_k L_kk^2 s_k^2 per row; a
//   third of it on average (s^2 / 12). prod L_kk^2 = det H for every order: orders only redistribute it.
// Limit: rate-distortion function of Gaussian weights under (w-q)^T H (w-q), reverse water-filling over the eigenvalues
//   of H (Cover and Thomas, Elements of Information Theory, 10.3), or from below over the squared pivots: their
//   logarithms are majorised by those of the eigenvalues (Weyl 1949, for L) and the error at fixed slope is convex in
//   the logarithm.
#pragma once

#include <span>
#include <vector>

#include "lattice/factor.h"
#include "lattice/grid.h"

namespace nearplane::lattice {

/// Sum over all rows of the worst case, for the damped H.
double error_bound(const Factor& factor, const Grid& grid);

/// log det of the damped H over the order: the same for every order of the same coordinates.
double log_determinant(const Factor& factor);

/// Eigenvalues of h [n,n], lower triangle valid, finite, positive semidefinite; ascending, none negative.
/// Cost: 4/3 n^3, half of it bound by memory, on one thread.
std::vector<double> eigenvalues(const Matrix<double>& h);

/// L_kk^2 of h without damping, [n] by coordinate, natural order; 0 for a coordinate with H_jj = 0. Where h is
/// singular, with 1e-8 of the mean diagonal entry added; all 0, which limits nothing, if that does not make it positive
/// definite. Cost: n^3 / 3, on all threads.
std::vector<double> squared_pivots(const Matrix<double>& h);

/// Least mean error, summed over rows, of any code with `bits` >= 0 per weight for independent Gaussian weights, those
/// of row i with variance `variances[i]`, bits shared freely between rows: sum of min(v_i lambda_j, theta) where theta
/// is such that the sum of max(0, log2(v_i lambda_j / theta) / 2) uses the bits. At high rate
/// n (prod v_i)^(1/m) det(H)^(1/n) 2^(-2 bits) per row. `lambda` [n]: eigenvalues; or squared pivots in any order,
/// which give the same at high rate (every v_i lambda_j above theta) and less below. Weights of another distribution,
/// or a lucky row, can be cheaper.
double error_limit(std::vector<double> lambda, std::span<const double> variances, double bits);

}  // namespace nearplane::lattice
