// ICQuant, a published baseline: the largest 5 % of the weights of every row have a quantizer of their own.
// Problem: Outliers stretch the range of a row to about twice that of the rest. Apart from them the rest has steps half
// as
//   wide for the same bits, the outliers, all of them far from 0, need levels in the two tails alone, and to say which
//   they are costs .31 bits a weight (codec/gap_code.h).
// Source: Li et al., arXiv 2505.00850; what differs is listed in docs/methods/baselines.md.
// Cost: nearest plane decided weight by weight, 56 candidates a row for its scales.
#pragma once

#include "quant/quantize_linear.h"

namespace nearplane {

/// Quantizes W [m,n] to whole options.bits, and the positions, by Method::icquant or icquant_rounding; options.group
/// and symmetric are not used. Uses all threads; same result for any number of them. Error{bad_input} at `where` for
/// non-finite W or one beyond the range of f16.
QuantizedLayer quantize_icquant(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                                const std::string& where);

}  // namespace nearplane
