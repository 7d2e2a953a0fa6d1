// What the solvers of small problems walk over: the target of a column, and the levels around it, nearest first.
#pragma once

#include "lattice/closest_vector.h"

namespace nearplane::lattice {

/// c_k: the target of column k once columns before it have the given codes.
double aim(const ClosestVector& problem, const std::vector<std::int64_t>& codes, std::int64_t k);

/// The codes of the range by increasing distance from a target; of two equally far ones the even one first, then the
/// upper one.
class Levels {
 public:
  Levels() = default;
  Levels(const ClosestVector& problem, double target);
  std::int64_t current() const { return current_; }
  /// False, and `current` as it was, once the range is exhausted.
  bool next();

 private:
  std::int64_t low_ = 0, high_ = 0;
  double target_ = 0;
  std::int64_t current_ = 0, above_ = 0, below_ = 0;  // the next ones on either side
};

}  // namespace nearplane::lattice
