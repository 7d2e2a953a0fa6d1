// The list nearest plane on an unbounded grid, priced: one search for every entropy-coded method, with S states of a
// trellis and M survivors per state.
// Problem: levels z_ij of least sum_k e_k^2 + lambda x code length for every row, e_k = L_kk (c_k - q_k) as in
//   nearest_plane.h, q_ij = point of z_ij / points per step (codec/trellis_machine.h). The caller scales: t and L are
//   in units in which every step is 1. For k = 1..n every survivor is extended by the cheapest even and the cheapest
//   odd level of the two next to its own target and zero, whose code may be so short that it wins from afar; of those
//   that end in the same state the M of least cost survive. 1 x 1 is nearest plane, 1 x M K-best, S x 1 the Viterbi
//   algorithm with per-survivor feedback.
// Source: Raheli et al., Per-survivor processing, IEEE Trans. Commun. 43 (1995); Seshadri and Sundberg, List Viterbi
//   decoding, IEEE Trans. Commun. 42 (1994).
#pragma once

#include <cstdint>
#include <vector>

#include "codec/trellis_machine.h"
#include "lattice/factor.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

/// Code lengths by class of the weight and quantizer of its state.
struct LevelCosts {
  int classes = 0, reach = 0;                // levels -reach..reach; beyond: the last entry + slope per level
  std::vector<float> bits;                   // [classes][2 quantizers][2 reach + 1]
  std::vector<int> row_class, column_class;  // [m], [n]: class = clamp(row_class[i] - column_class[j], 0, classes - 1)
  float slope = 1;
};

struct ListOptions {
  Trellis trellis;
  int survivors = 1;           // M per state: 1, 2, 4 or 8
  double lambda = 0;           // cost of a bit, x mean squared pivot
  std::int64_t restart = 144;  // columns from one state 0 to the next
};

struct ListOutcome {
  std::vector<double> error;  // [m] sum e_k^2 in the units of the pivots
  double bits = 0;            // by LevelCosts, columns outside the order included; 0 without any
};

/// t [m,n] finite -> levels [m,n]. The order of the factor must be ascending: columns are decided as they are stored;
/// those outside it have level 0. Without classes lambda must be 0. T is the type of the feedback; a row whose feedback
/// leaves its range, or that needs levels beyond int16, ends with an infinite error and levels 0 and counts no bits.
/// Uses all threads; same bits for any number of them.
template <class T>
ListOutcome list_search(MatrixView<const float> t, const Triangle<T>& l, const ListOptions& options,
                        const LevelCosts& costs, MatrixView<std::int16_t> levels);

extern template ListOutcome list_search(MatrixView<const float>, const Triangle<float>&, const ListOptions&,
                                        const LevelCosts&, MatrixView<std::int16_t>);
extern template ListOutcome list_search(MatrixView<const float>, const Triangle<double>&, const ListOptions&,
                                        const LevelCosts&, MatrixView<std::int16_t>);

}  // namespace nearplane::lattice
