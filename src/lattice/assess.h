// The error of given codes, whoever chose them, in the coordinates of nearest plane.
// Problem: e_k = sum_{j<=k} L_kj (w_j - q_j) = L_kk (c_k - q_k), the row's error under the damped H is sum e_k^2.
// Cost: m r^2 operations in products. Sums of squares: no cancellation between terms.
#pragma once

#include <cstdint>

#include "lattice/factor.h"
#include "lattice/grid.h"
#include "lattice/outcome.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

/// w, codes [m,n]: the Outcome a solver would report for these codes. T is the type of the products. Uses all threads;
/// same bits for any number of them.
template <class T>
Outcome assess(MatrixView<const float> w, const Triangle<T>& l, const Grid& grid, MatrixView<const std::uint8_t> codes);

extern template Outcome assess(MatrixView<const float>, const Triangle<float>&, const Grid&,
                               MatrixView<const std::uint8_t>);
extern template Outcome assess(MatrixView<const float>, const Triangle<double>&, const Grid&,
                               MatrixView<const std::uint8_t>);

}  // namespace nearplane::lattice
