// The list nearest plane: nearest plane that keeps K partial solutions of every row instead of one.
// Problem: as nearest_plane.h. For k = 1..r every survivor is extended by the two levels next to its own target c_k
// (its
//   own error feedback), and the K of least sum e_k^2 survive. The survivors of a row may differ in the last
//   kOpenColumns columns and more; older columns are closed with the best one's codes, and the others that differ are
//   dropped. K = 1 is nearest plane.
// Source: the K-best (breadth-first) sphere decoder; per-survivor feedback of Raheli et al. 1995; truncated paths as in
//   Viterbi decoders. Cost: nearest plane's products once, and about K x (kOpenColumns + 40) multiply-adds per weight.
// It grows into the trellis of S states x M survivors: the same survivors with a state each, selected per state.
#pragma once

#include <cstdint>

#include "lattice/factor.h"
#include "lattice/grid.h"
#include "lattice/outcome.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

/// w [m,n] finite -> codes [m,n]; beam K is 1, 2, 4 or 8. T is the type of the feedback; a row whose feedback
/// leaves its range ends with an infinite error. Uses all threads; same bits for any number of them.
template <class T>
Outcome kbest(MatrixView<const float> w, const Triangle<T>& l, const Grid& grid, int beam,
              MatrixView<std::uint8_t> codes);

extern template Outcome kbest(MatrixView<const float>, const Triangle<float>&, const Grid&, int,
                              MatrixView<std::uint8_t>);
extern template Outcome kbest(MatrixView<const float>, const Triangle<double>&, const Grid&, int,
                              MatrixView<std::uint8_t>);

}  // namespace nearplane::lattice
