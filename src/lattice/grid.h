// A finite integer grid: the points a coordinate may take.
// Problem: q_ij = step[i, j / group] (z - zero[i, j / group]), z in [0, max_code].
#pragma once

#include <cstdint>

#include "tensor/matrix.h"

namespace nearplane::lattice {

struct Grid {
  std::int64_t group = 0;  // neighbouring columns with the same step and zero
  int max_code = 0;        // at most 255
  Matrix<float> step;      // [m, G] > 0
  Matrix<float> zero;      // [m, G] in [0, max_code]; integers where 0 has to be a level
};

}  // namespace nearplane::lattice
