// list_search() for the reader and as its oracle: one row after another in double, every survivor with its whole past.
// Cost: m n^2 S M.
#pragma once

#include "lattice/list_search.h"

namespace nearplane::lattice {

/// As list_search(), but no survivor is ever dropped because it differs from the best one far back.
ListOutcome list_search_reference(MatrixView<const float> t, const Triangle<double>& l, const ListOptions& options,
                                  const LevelCosts& costs, MatrixView<std::int16_t> levels);

}  // namespace nearplane::lattice
