// Dense factorisations of LAPACK that are not worth writing again, each on one thread, so that the roundings never
// depend on the number of threads. f64, row-major.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/matrix.h"

namespace nearplane {

/// Eigenvalues of a [n,n], lower triangle valid and finite, ascending; overwrites `a`. Cost: 4/3 n^3, half of it bound
/// by memory. Error{numerical} if the iteration does not converge.
std::vector<double> symmetric_eigenvalues(Matrix<double> a);

/// QR by Householder reflections of the triangle R [n,n] with rows x [b,n] appended: R^T R += x^T x without forming
/// either. `rt` holds R transposed, [n,n] lower triangular, rows of any sign; its strict upper part is left alone.
/// `xt` is x transposed, [n,b], and is overwritten. Cost: 2 b n^2.
void append_rows(Matrix<double>& rt, Matrix<double>& xt);

}  // namespace nearplane
