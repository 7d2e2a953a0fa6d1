// The levels of a coded layer at steps given up to one factor: for a factor, or for the one with the bits asked for.
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

/// Cost of a bit, x the squared step of an error coordinate. At high rate the error of a uniform quantizer, step^2 /
/// 12, falls by 2 ln 2 / 12 = 0.116 of a squared step per bit; a trellis has less to lose per bit.
constexpr double price_of_bit(int states) { return states == 1 ? 0.1 : 0.06; }

/// Levels at this step, or at the next larger one (octaves) where levels do not leave 16 bits. Error{bad_input} at
/// `where` if there is none.
template <class T>
RatedLevels levels_with(const RateProblem<T>& problem, double step, const std::string& where);

/// Levels with `bits` per weight, as closely as the layer allows (0.003 bit for all but the smallest), or fewer where
/// steps so small that levels leave 16 bits have fewer. Error{bad_input} at `where`, naming the reachable range, if not
/// even levels 0 are that small.
template <class T>
RatedLevels levels_at(const RateProblem<T>& problem, double bits, const std::string& where);

extern template RatedLevels levels_with(const RateProblem<float>&, double, const std::string&);
extern template RatedLevels levels_with(const RateProblem<double>&, double, const std::string&);
extern template RatedLevels levels_at(const RateProblem<float>&, double, const std::string&);
extern template RatedLevels levels_at(const RateProblem<double>&, double, const std::string&);

}  // namespace nearplane
