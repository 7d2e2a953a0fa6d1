// The fixed part of ggml's blocks, chosen before the first column is decided: d, dmin, scales and minimums.
// Problem: per block, min over d, dmin and whole numbers s, u of sum_j cost_j (w_j - q_j)^2, q_j the level of
//   (d s) level - dmin u that is nearest to w_j.
// Method: each sub-block's own best step and minimum from a search as in scale_search.h; d and dmin from the largest of
//   them; then, in turn, the whole numbers for d and dmin, and d and dmin by least squares for the levels that they
//   give.
// Cost: some 50 to 150 roundings per weight.
#pragma once

#include "tensor/ggml_block.h"

namespace nearplane {

/// Code of the level nearest to x; 0 if x is not a number.
int nearest_code(const BlockLayout& layout, float x);

/// w [block] finite, cost [block] > 0. Codes are left at 0. d and dmin are infinite where the weights are beyond what
/// the type can hold.
BlockParts choose_block(const BlockLayout& layout, const float* w, const float* cost);

}  // namespace nearplane
