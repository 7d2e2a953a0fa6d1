// The eigenvalues of a Gram matrix, exact or as a distribution.
// Source: tridiagonalisation through LAPACK; stochastic Lanczos quadrature (Golub and Meurant, Matrices, Moments and
//   Quadrature, 2010; Ubaru, Chen, Saad, SIAM J. Matrix Anal. Appl. 38, 2017).
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/matrix.h"

namespace nearplane::lattice {

/// Eigenvalues >= 0, ascending, and how many each stands for; the counts add up to n. Eigenvalues that rounding made
/// negative are zero.
struct Spectrum {
  std::vector<double> values, counts;
  double dimension() const;
};

/// h [n,n], lower triangle valid and finite, positive semidefinite. Cost: 4/3 n^3, half of it bound by memory.
Spectrum exact_spectrum(const Matrix<double>& h);

/// The same from products with 32 random vectors, exact up to n = 128: averages of f over the spectrum have a relative
/// standard error of sqrt(2 / (32 n)), so that bits per weight above the limit (bound.h) are right to about 0.02.
/// Seeded; same bits for any number of threads. Cost: 24 x 32 x 2 n^2, a twentieth of the time of the exact one at
/// n = 1536.
Spectrum estimated_spectrum(const Matrix<double>& h);

}  // namespace nearplane::lattice
