// SpQR, a published baseline: nearest plane in groups so small that their scales have to be quantized, too, and the few
// weights that cost a group most kept in f16 beside them.
// Problem: a weight is kept where its group, with scales that need not reach it, would lose more than a threshold of
// its
//   error sum_j L_jj^2 (w_j - q_j)^2; the threshold is the one that keeps 1 % of the layer's weights.
// Source: Dettmers et al., arXiv 2306.03078; what differs is listed in docs/methods/baselines.md.
// Cost: nearest plane decided weight by weight, and three rounded passes over every group.
#pragma once

#include "quant/quantize_linear.h"

namespace nearplane {

/// Quantizes W [m,n] to whole options.bits in groups of options.group, scales chosen as options.scales says. Uses all
/// threads; same result for any number of them. Error{bad_input} at `where` for non-finite W, one beyond the range of
/// f16, more than 2^16 columns, or a group that does not divide n.
QuantizedLayer quantize_spqr(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                             const std::string& where);

}  // namespace nearplane
