// Steps of a layer whose overflowing codes are listed one by one, for a given price of a listed code.
// Problem: per row and group, min over s of  W s^2 / 12 + price x expected number of codes beyond 2^(bits-1) steps, W
// the
//   sum of the group's squared pivots: nearest plane's expected error against the size of the list. One price for the
//   whole layer gives every row and group the share of the list where it saves most.
// Model: weights of a group are as those of the layer, each divided by the mean size of its group. Asking the group
//   itself how many of its weights lie beyond a step fits the steps to chance (2 to 3 % more error).
// Cost: some 200 candidates for every group and price.
#pragma once

#include <string>
#include <vector>

#include "lattice/grid.h"
#include "tensor/matrix.h"

namespace nearplane {

class SparseSteps {
 public:
  /// w [m,n] finite, group divides n. squared_pivots [n] by column, 0: errors of the column cost nothing.
  SparseSteps(MatrixView<const float> w, const std::vector<double>& squared_pivots, std::int64_t group);

  /// f16 steps for dense codes of `bits` bits, without zero points, for codes of 16 bits. These leave error feedback as
  /// much room as the largest weight takes. Error{bad_input} at `where` naming row and group if f16 ends before.
  lattice::Grid at(double price, int bits, const std::string& where) const;
  /// Mean squared size of a group x mean squared pivot: the unit of prices.
  double scale() const;

 private:
  struct Tail {
    double size, share;  // of weights that are at least this large, in mean sizes of their group
  };
  void find_tail(MatrixView<const float> w, const std::vector<double>& squared_pivots);
  double best_step(std::int64_t row, std::int64_t g, double price, int bits) const;

  std::int64_t group_;
  Matrix<float> largest_, size_;        // [m,G] of all columns; mean of those that count
  std::vector<double> weight_, count_;  // [G] W; columns that count
  std::vector<Tail> tail_;              // ascending, the last share is 0
};

}  // namespace nearplane
