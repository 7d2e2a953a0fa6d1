// What can be said about the error before anything is decided: the worst case of nearest plane, and what no code can
// undercut.
// Worst case: |e_k| <= s_k L_kk / 2 for codes that were not clipped (Babai 1986), so 1/4 sum_k L_kk^2 s_k^2 per row; a
//   third of it on average (s^2 / 12). prod L_kk^2 = det H for every order: orders only redistribute it.
// Limit: rate-distortion function of Gaussian weights under (w-q)^T H (w-q), reverse water-filling over the eigenvalues
//   of H (Cover and Thomas, Elements of Information Theory, 10.3).
#pragma once

#include <span>

#include "lattice/factor.h"
#include "lattice/grid.h"
#include "lattice/spectrum.h"

namespace nearplane::lattice {

/// Sum over all rows of the worst case, for the damped H.
double error_bound(const Factor& factor, const Grid& grid);

/// log det of the damped H over the order: the same for every order of the same coordinates. -inf never: pivots > 0.
double log_determinant(const Factor& factor);

/// Least mean error, summed over rows, of any code with `bits` >= 0 per weight for independent Gaussian weights, those
/// of row i with variance `variances[i]`, bits shared freely between rows: sum of min(v_i lambda_j, theta) where theta
/// is such that the sum of max(0, log2(v_i lambda_j / theta) / 2) uses the bits. At high rate n (prod v_i)^(1/m)
/// det(H)^(1/n) 2^(-2 bits) per row. Weights of another distribution, or a lucky row, can be cheaper.
double error_limit(const Spectrum& spectrum, std::span<const double> variances, double bits);

/// Bits per weight that an optimal code would need less for the same error: log2(error / limit) / 2.
double bits_above_limit(double error, double limit);

}  // namespace nearplane::lattice
