// Reduced bases of small lattices, by fplll, and the solvers that need one.
// Problem: another basis L U of the same lattice, U unimodular, whose vectors are short and nearly orthogonal, so that
//   nearest plane there is better. z = U z' has no range: legal where codes are unbounded, and a code outside a finite
//   range is an overflow that is counted, never clipped.
// Source: Lenstra, Lenstra, Lovasz 1982; Schnorr and Euchner 1994 (BKZ); Kannan 1987 (embedding); fplll (2016).
// Cost: seconds at 100 columns, minutes at 256.
#pragma once

#include <cstdint>

#include "lattice/closest_vector.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

constexpr std::int64_t kLargestReduction = 256;  // basis vectors

/// basis [n,n], one vector a row -> U [n,n] unimodular: the rows of U basis are LLL-reduced (delta 0.99), or
/// BKZ-reduced with blocks of `block` >= 2 vectors. fplll works on integers: entries are multiplied by the power of two
/// that leaves the smallest row at least 2^30 long, and truncated. block = 0 is LLL.
/// Error{bad_input}: entries not finite, rows of zeros or more than 2^200 apart in length, n or block out of range,
/// fplll fails (dependent rows).
Matrix<std::int64_t> reduce(const Matrix<double>& basis, int block);

struct ReducedSolution {
  Solution solution;          // codes anywhere, whatever the problem's range; optimal = false
  std::int64_t overflow = 0;  // codes outside the range
};

/// Nearest plane in the reduced basis.
ReducedSolution reduced_plane(const ClosestVector& problem, int block);

/// Kannan's embedding: the target as one more basis vector; a short vector of that lattice is a close point of this
/// one. Nearest plane's point where the reduction finds none in the range that is closer. At most kLargestReduction - 1
/// columns.
Solution kannan(const ClosestVector& problem, int block);

}  // namespace nearplane::lattice
