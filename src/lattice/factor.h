// The triangular factor of a Gram matrix in the order in which coordinates are decided.
// Problem: H + shift I, rows and columns permuted by `order`, = L^T L with L lower triangular (the L of X = Q L).
// Source: Cholesky of the reversed matrix; damping as in GPTQ (Frantar et al., arXiv 2210.17323), raised until it
// works. Cost: n^3 / 3 in f64 per attempt.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/matrix.h"

namespace nearplane::lattice {

struct Factor {
  std::int64_t dimension = 0;       // n of H
  std::vector<std::int64_t> order;  // [r] position -> coordinate; coordinates left out do not enter the error
  std::vector<double> pivots;       // [r] L_kk > 0, by position
  double damping = 0;               // lambda in the end
  double shift = 0;                 // what was added to the diagonal: lambda x mean of H_jj over the order
  int repairs = 0;                  // times lambda was raised

  std::int64_t rank() const { return static_cast<std::int64_t>(order.size()); }
};

/// L with every row divided by its pivot, [r,r]: 1 on the diagonal, feedback coefficients L_kj / L_kk below, 0 above.
template <class T>
struct Triangle {
  Factor factor;
  Matrix<T> rows;
};

/// h [n,n] f64, lower triangle valid, finite, sums of its entries finite. `order` distinct coordinates with H_jj > 0.
/// lambda starts at `damping` and is raised tenfold (from 0: to 1e-8) while the factorisation fails; the last rung
/// makes the matrix diagonally dominant, so there always is a result. T = float or double is the type of the rows; the
/// factorisation itself is in double.
template <class T>
Triangle<T> factorize(const Matrix<double>& h, const std::vector<std::int64_t>& order, double damping);

/// L = J M^T J from M [r,r], lower triangular with positive diagonal, M M^T = the matrix with its order reversed (J);
/// what `factor` says of order and damping is kept.
template <class T>
Triangle<T> triangle_of_reversed(const Matrix<double>& m, Factor factor);

extern template Triangle<float> triangle_of_reversed(const Matrix<double>&, Factor);
extern template Triangle<double> triangle_of_reversed(const Matrix<double>&, Factor);
extern template Triangle<float> factorize(const Matrix<double>&, const std::vector<std::int64_t>&, double);
extern template Triangle<double> factorize(const Matrix<double>&, const std::vector<std::int64_t>&, double);

}  // namespace nearplane::lattice
