// One layer, decided by every algorithm as published and by the solver of this library.
#pragma once

#include "lattice/reference.h"
#include "nearplane/prove.h"
#include "pipeline/layer_case.h"

namespace nearplane {

/// The problem the references see: codes of `bits`, zero point in the middle, one step per row: `step_factor` times the
/// absmax rule's largest magnitude / (2^(bits-1) - 1).
struct ReferenceProblem {
  lattice::reference::Problem<double> problem;
  lattice::reference::Dense<double> x, h;  // inputs [T, n], x^T x [n, n]
};
ReferenceProblem reference_problem(const LayerCase& layer, int bits, double step_factor = 1);

ProvedLayer prove_layer(const LayerCase& layer, int bits, double step_factor = 1);

/// Integers that differ, and the largest difference of an error coordinate relative to the length of the row's vector.
Comparison compare(std::string algorithm, const lattice::reference::Problem<double>& problem,
                   const lattice::reference::Solution<double>& want, const lattice::reference::Solution<double>& have);

}  // namespace nearplane
