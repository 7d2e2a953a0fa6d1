// One linear layer by Scale-adjusted Sparse Quantization: nearest plane without a range, the codes that a few bits hold
// stored densely, the others in a list, steps so small that the list fills the bits.
// Problem: min tr((W-Q) H (W-Q)^T) at a given size of the file, Q = s u with u any integer.
// Source: Chen et al., arXiv 2507.18553; steps: sparse_steps.h. Bound: 1/4 sum L_kk^2 s_k^2 for every row, no
// exception. Cost: some 10 to 30 runs of nearest plane on a sample of the rows, 1 to 4 on all.
#pragma once

#include <string>

#include "quant/quantize_linear.h"

namespace nearplane {

/// Error{bad_input} at `where` for bits or a solver that quantize_sparse cannot use.
void check_sparse(const GridOptions& options, const std::string& where);

/// Quantizes W [m,n] to at most options.bits per weight, and as closely below as the layer allows (0.003 bit for all
/// but the smallest), or fewer where finer steps have no more to say. Columns that err least for their bits as 16-bit
/// floats are kept so. Uses all threads; same result for any number of them. Error{bad_input} at `where` for
/// non-finite W, a group that does not divide n, for bits out of reach, naming the reach, and for weights so far apart
/// that codes leave 16 bits.
QuantizedLayer quantize_sparse(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                               const std::string& where);

}  // namespace nearplane
