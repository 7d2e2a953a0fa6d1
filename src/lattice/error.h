// The error of a solution, measured directly: d^T H d of every row of differences d = w - q.
#pragma once

#include <vector>

#include "tensor/matrix.h"

namespace nearplane::lattice {

/// d [m,n], h [n,n] f64 lower triangle valid -> d^T H d of every row. Products in T, sums of products with d in double;
/// T = float is for differences that H does not nearly cancel. Cost: m n^2 operations, each product with H's lower
/// triangle counting twice. Same bits for any number of threads.
template <class T>
std::vector<double> row_errors(MatrixView<const float> d, const Matrix<double>& h);

extern template std::vector<double> row_errors<float>(MatrixView<const float>, const Matrix<double>&);
extern template std::vector<double> row_errors<double>(MatrixView<const float>, const Matrix<double>&);

}  // namespace nearplane::lattice
