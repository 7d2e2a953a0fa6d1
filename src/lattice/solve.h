// Linear equations with a damped Gram matrix that is factored already.
// Problem: d (H + shift I) = b for many right-hand sides b, one per row, H + shift I = L^T L.
// Method: two triangular solves, each halving so that most of the work is a product. Cost: 2 m r^2 in f64.
#pragma once

#include "lattice/factor.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

/// b [m,r], columns by position: overwritten with b (L^T L)^-1. Single-threaded: rows are independent, callers split
/// them.
void solve_rows(MatrixView<double> b, const Triangle<double>& l);

}  // namespace nearplane::lattice
