// Steps and zero points of integer grids, chosen before the first column is decided.
// Problem: per row and group, min over (s, zero) of sum_j weight_j (w_j - q_j)^2, q_j the level nearest to w_j.
// Source: weighted scale search as in importance matrices; the weights L_jj^2 are what an error of column j costs once
//   later columns make up for what they can (math: the identity E = sum_k L_kk^2 (c_k - q_k)^2).
// Cost: kShrinks candidates per weight, vectorised over rows.
//
// Rules: steps are f16 numbers, never below 2^-14 (the smallest normal one: no zero, no subnormal); zero points are
// integers in [1, max_code], so that 0 is a level and GPTQ v1 files, which store zero - 1, can carry them.
#pragma once

#include <span>
#include <string>

#include "lattice/grid.h"
#include "nearplane/quantize.h"
#include "tensor/matrix.h"

namespace nearplane {

/// w [m,n] finite, group divides n. weights [n] >= 0: weight of each column, or empty for min-max: the range of the
/// group and no search. A group whose weights are all zero is searched with equal weights.
/// Error{bad_input} at `where` naming row and group if a step would exceed f16.
lattice::Grid choose_grid(MatrixView<const float> w, std::span<const double> weights, int bits, std::int64_t group,
                          bool symmetric, const std::string& where);

}  // namespace nearplane
