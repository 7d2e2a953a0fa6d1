// How many bits each unit (layers that must agree) gets when all share a number of bytes.
// Problem: min sum_u cost_u(b_u) subject to sum_u bytes_u(b_u) <= budget, a multiple-choice knapsack.
// Method: Lagrangian sweep: all units start at their smallest choice and climb the lower convex hull of (bytes, cost),
// the steepest step of all units first; that is optimal for every budget at which a step ends. What is left then goes
// to the steepest steps that still fit. Source: Shoham and Gersho, IEEE Trans. ASSP 36 (1988). Cost: c log c, c
// choices. Bound: the optimum is cheaper by less than the first step that did not fit.
#pragma once

#include <cstdint>
#include <vector>

namespace nearplane {

struct BitChoice {
  int bits = 0;
  std::int64_t bytes = 0;
  double cost = 0;
};

/// `units`: the choices of each, bytes increasing, at least one. Returns for each unit the index of its choice.
/// Precondition: the smallest choices together fit `budget`. Ties go to the earlier unit.
std::vector<std::size_t> share_bits(const std::vector<std::vector<BitChoice>>& units, std::int64_t budget);

}  // namespace nearplane
