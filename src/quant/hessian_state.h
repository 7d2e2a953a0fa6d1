// What a Hessian holds, for the methods of this folder.
#pragma once

#include <vector>

#include "lattice/factor.h"
#include "quant/quantize_linear.h"

namespace nearplane {

struct Hessian::State {
  Matrix<double> gram;  // [n,n], lower triangle, without damping
  lattice::Triangle<float> triangle;
  std::vector<double> squared_pivots;  // without damping
};

}  // namespace nearplane
