// Babai's nearest plane for many targets at once: every row of W is one target, all share the lattice's Gram matrix.
// Problem: for k = 1..r in the order of the factor, c_k = w_k + sum_{j<k} (L_kj / L_kk) (w_j - q_j), q_k = the grid
//   point nearest to c_k. Coordinates outside the order are rounded as they are.
// Source: Babai, Combinatorica 6 (1986); the same integers as GPTQ (Frantar et al., arXiv 2210.17323).
// Cost: m r^2 operations, nearly all in matrix products. Bound: see bound.h.
#pragma once

#include <cstdint>

#include "lattice/factor.h"
#include "lattice/grid.h"
#include "lattice/outcome.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

/// w [m,n] finite -> codes [m,n] of 8 or, for grids without a range that matters, 16 bits. A factor without order (rank
/// 0) rounds every weight. T is the type of the feedback. Uses all threads; same bits for any number of them.
template <class T, class Code>
Outcome nearest_plane(MatrixView<const float> w, const Triangle<T>& l, const Grid& grid, MatrixView<Code> codes);

extern template Outcome nearest_plane(MatrixView<const float>, const Triangle<float>&, const Grid&,
                                      MatrixView<std::uint8_t>);
extern template Outcome nearest_plane(MatrixView<const float>, const Triangle<double>&, const Grid&,
                                      MatrixView<std::uint8_t>);
extern template Outcome nearest_plane(MatrixView<const float>, const Triangle<float>&, const Grid&,
                                      MatrixView<std::int16_t>);
extern template Outcome nearest_plane(MatrixView<const float>, const Triangle<double>&, const Grid&,
                                      MatrixView<std::int16_t>);

}  // namespace nearplane::lattice
