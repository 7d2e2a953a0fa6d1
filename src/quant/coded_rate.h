// The common factor of all steps for which a coded layer has the bits asked for.
// Problem: bits(step) = size, counted from the stream, of the levels that the list search finds with these steps and
//   with code lengths that are fitted to levels found before. Falls by about a bit when the step doubles.
// Method: secant search; first on some of the rows, then on all. Cost: some 6 searches on the sample, 2 to 4 on all.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "codec/level_stream.h"
#include "lattice/factor.h"
#include "lattice/list_search.h"

namespace nearplane {

template <class T>
struct RateProblem {
  MatrixView<const float> unit;   // W [m,n] in units of the steps of rows and columns
  const lattice::Triangle<T>& l;  // in those units
  LevelModel model;
  int survivors = 1;
  double lambda = 0;             // of lattice::ListOptions
  std::int64_t other_bytes = 0;  // of the layer besides its levels
};

struct RatedLevels {
  double step = 0;                // targets were unit / step
  Matrix<std::int16_t> levels;    // [m, n]
  std::vector<std::byte> stream;  // of them, with the columns' classes of the problem
  double bits = 0;                // per weight, everything counted
  lattice::ListOutcome outcome;
};

inline constexpr double kMostBits = 8;

/// Levels with `bits` per weight, as closely as the layer allows (0.003 bit for all but the smallest), or fewer where
/// steps so small that levels leave 16 bits have fewer. Error{bad_input} at `where`, naming the reachable range, if not
/// even levels 0 are that small.
template <class T>
RatedLevels levels_at(const RateProblem<T>& problem, double bits, const std::string& where);

extern template RatedLevels levels_at(const RateProblem<float>&, double, const std::string&);
extern template RatedLevels levels_at(const RateProblem<double>&, double, const std::string&);

}  // namespace nearplane
