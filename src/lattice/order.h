// The order in which coordinates are decided: a choice of basis. Storage order never changes.
// Problem: a permutation p of the coordinates, p[k] = the k-th decided. Pivots depend on it, their product does not
// (prod L_kk^2 = det H), so an order only redistributes the error bound over the coordinates.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/matrix.h"

namespace nearplane::lattice {

/// Coordinates with a positive diagonal entry, by index. The others do not enter (w-q)^T H (w-q) of a Gram matrix H.
std::vector<std::int64_t> natural_order(const Matrix<double>& h);

/// The same by decreasing H_jj ("act-order"), equal entries by index.
std::vector<std::int64_t> decreasing_diagonal_order(const Matrix<double>& h);

/// The same so that the sum of L_kk^2 is small: the last place goes to the coordinate with the least H_jj, the place
/// before it to the least diagonal entry of the Schur complement without it, and so on (min-pivot; Chen et al., arXiv
/// 2507.18553, after minimum-degree orderings of sparse elimination). A coordinate early in the elimination pays its
/// whole H_jj, so the cheap ones go there, and the dear ones only pay what the others cannot explain. `shift` >= 0 is
/// added to the diagonal. h: lower triangle valid, finite. Equal entries by index, larger index later. Same bits for
/// any number of threads. Cost: n^3 / 3 in products of blocks.
std::vector<std::int64_t> min_pivot_order(const Matrix<double>& h, double shift);

/// An order somebody else chose, without the coordinates that natural_order leaves out. Error{bad_input} at `where`
/// unless `order` names each of the n coordinates exactly once.
std::vector<std::int64_t> given_order(const Matrix<double>& h, const std::vector<std::int64_t>& order,
                                      const std::string& where);

}  // namespace nearplane::lattice
