// The order in which coordinates are decided: a choice of basis. Storage order never changes.
// Problem: a permutation p of the coordinates, p[k] = the k-th decided. Pivots depend on it, their product does not
// (prod L_kk^2 = det H), so an order only redistributes the error bound over the coordinates.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/matrix.h"

namespace nearplane::lattice {

/// Coordinates with a positive diagonal entry, by index. The others do not enter (w-q)^T H (w-q) of a Gram matrix H.
std::vector<std::int64_t> natural_order(const Matrix<double>& h);

/// The same by decreasing H_jj ("act-order"), equal entries by index.
std::vector<std::int64_t> decreasing_diagonal_order(const Matrix<double>& h);

}  // namespace nearplane::lattice
