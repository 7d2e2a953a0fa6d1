// A = M M^T in place, M lower triangular with positive diagonal; blocked, f64.
// Source: left-looking blocked Cholesky (Golub and Van Loan, Matrix Computations, 4.2).
// Cost: n^3 / 3, nearly all of it in matrix products; same bits for any number of threads.
#pragma once

#include <cstdint>

#include "tensor/matrix.h"

namespace nearplane::lattice {

/// Overwrites the lower triangle of a [n,n] with M; the strict upper triangle is neither read nor written.
/// False, with `a` in an undefined state, if a pivot is not positive and finite.
[[nodiscard]] bool cholesky(Matrix<double>& a);

}  // namespace nearplane::lattice
