// One linear layer with entropy-coded levels: HPTQ, WaterSIC and the trellis nearest plane, which differ in the spacing
// of columns and in the grid.
// Problem: min tr(F (W-Q) H (W-Q)^T) at a given size of the file; Q on a grid without a range, F the rows' sensitivity.
// Sources: see coded_steps.h, coded_rate.h, lattice/list_search.h.
#pragma once

#include <span>

#include "quant/quantize_linear.h"

namespace nearplane {

/// True for methods that write entropy-coded levels: bits per weight are a real number, counted from the file.
bool is_coded(Method method);

/// Error{bad_input} at `where` for bits, states or survivors that quantize_coded cannot use.
void check_coded(const GridOptions& options, const std::string& where);

/// How the bits of a layer are found.
struct CodedGoal {
  std::span<const double> row_sensitivity = {};  // [m] f_i >= 0, what a squared error at each output costs, one of
                                                 // them positive; empty = all the same
  double step = 0;  // c > 0: steps c / (L_jj sqrt(f_i)), whatever bits they take; 0 = options.bits per weight
};

/// Quantizes W [m,n] to the goal: see levels_at() for how closely. `hessian` in natural order. With sensitivities,
/// record.predicted_kl is 1/2 sum_i f_i E_i.
/// Uses all threads; same result for any number of them. Error{bad_input} at `where` for non-finite W, for bits out of
/// reach, and for weights so small or large that no step fits CodedTensor.
QuantizedLayer quantize_coded(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                              const CodedGoal& goal, const std::string& where);

}  // namespace nearplane
