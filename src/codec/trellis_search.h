// The reference search over a trellis, for sources without feedback between weights: Viterbi on
//   sum_i (x_i - step point_i / points_per_step)^2 + lambda bits(quantizer_i, level_i)
// in double, one weight after another. O(weights x states). Restarts in state 0 at every row.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "codec/trellis_machine.h"

namespace nearplane {

/// Bits per level under each quantizer.
class LevelBits {
 public:
  using Counts = std::array<std::map<std::int32_t, std::uint64_t>, 2>;
  /// Every level costs nothing: the search minimizes distortion alone.
  LevelBits() = default;
  /// Ideal code lengths -log2 of the frequencies; half a count for each level that did not occur.
  explicit LevelBits(const Counts& counts);
  double operator()(int quantizer, std::int32_t level) const;

 private:
  struct Table {
    std::int32_t lowest = 0;
    std::vector<double> bits;
    double other = 0;  // of a level outside `bits`
  };
  std::array<Table, 2> tables_;
};

/// Levels [x.size()] of the path of least cost through rows of `cols` weights each (x.size() = rows x cols).
std::vector<std::int32_t> trellis_search(const Trellis& trellis, std::span<const double> x, std::int64_t cols,
                                         double step, double lambda, const LevelBits& bits);

/// How often each level occurs under each quantizer.
LevelBits::Counts count_levels(const Trellis& trellis, std::span<const std::int32_t> levels, std::int64_t cols);

/// sum_i (x_i - step point_i / points_per_step)^2
double trellis_distortion(const Trellis& trellis, std::span<const double> x, std::span<const std::int32_t> levels,
                          std::int64_t cols, double step);

}  // namespace nearplane
