// What can be said about the error of a solution: achieved, and the worst case of nearest plane.
// Problem: E = sum over rows of d^T H d for differences d = w - q; worst case 1/4 sum_k L_kk^2 s_k^2 per row.
// Source: Babai 1986; |e_k| <= s_k L_kk / 2 for codes that were not clipped, a third of it on average (s^2 / 12).
#pragma once

#include <vector>

#include "lattice/factor.h"
#include "lattice/grid.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

/// d [m,n], h [n,n] f64 lower triangle valid -> d^T H d of every row. Products in T, sums of products with d in double;
/// T = float is for differences that H does not nearly cancel. Cost: m n^2 operations, each product with H's lower
/// triangle counting twice. Same bits for any number of threads.
template <class T>
std::vector<double> row_errors(MatrixView<const float> d, const Matrix<double>& h);

extern template std::vector<double> row_errors<float>(MatrixView<const float>, const Matrix<double>&);
extern template std::vector<double> row_errors<double>(MatrixView<const float>, const Matrix<double>&);

/// Sum over all rows of the worst case, for the damped H.
double error_bound(const Factor& factor, const Grid& grid);

}  // namespace nearplane::lattice
