// What a solver says about the codes it chose.
#pragma once

#include <cstdint>
#include <vector>

namespace nearplane::lattice {

struct Outcome {
  std::vector<double> error;  // [m] sum_k e_k^2, e_k = L_kk (c_k - q_k): the row's error under the damped H
  std::int64_t clipped = 0;   // codes at an end of the range while the target was more than half a step beyond it
};

}  // namespace nearplane::lattice
