// A finite integer grid: the points a coordinate may take.
// Problem: q_ij = step[i, j / group] (z - zero[i, j / group]), z in [min_code, max_code].
#pragma once

#include <cstdint>

#include "tensor/matrix.h"

namespace nearplane::lattice {

struct Grid {
  std::int64_t group = 0;  // neighbouring columns with the same step and zero
  int min_code = 0;        // negative only for nearest plane with 16-bit codes
  int max_code = 0;        // what the type of the codes can hold
  Matrix<float> step;      // [m, G] > 0
  Matrix<float> zero;      // [m, G] in [min_code, max_code]; integers where 0 has to be a level
};

}  // namespace nearplane::lattice
