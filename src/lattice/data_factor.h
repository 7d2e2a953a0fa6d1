// The triangular factor straight from the data: X = Q L without forming X^T X, which squares the condition number.
// Problem: rows of X arrive in blocks of any size; only a triangle R with R^T R = X^T X is kept, and L for any order
// and
//   damping follows from R.
// Source: Householder QR of the triangle with rows appended (Golub and Van Loan, Matrix Computations, 6.5.3). Damping
// is
//   sqrt(shift) I as further rows. Cost: 2 T n^2 for T rows, 2 n^3 for a factor; on one thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lattice/factor.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

class DataFactor {
 public:
  /// No rows yet, n columns.
  explicit DataFactor(std::int64_t n) : rt_(n, n) {}

  /// Appends the rows of x [T,n]. How the rows are split into calls changes results within rounding. Error{numerical}
  /// at `where` naming row and column for an entry that is not finite or above 1e100, before anything is changed.
  template <class T>
  void add(MatrixView<const T> x, const std::string& where);

  std::int64_t rows() const { return count_; }
  /// X^T X [n,n], lower triangle valid.
  Matrix<double> gram() const;

  /// The L of lattice/factor.h for the columns of X in this order, with its rules for damping and repairs.
  template <class T>
  Triangle<T> factorize(const std::vector<std::int64_t>& order, double damping) const;

  /// ||X d||^2 for every row of d [m,n], without the cancellation of d^T (X^T X) d.
  std::vector<double> row_errors(MatrixView<const float> d) const;

 private:
  Matrix<double> rt_;  // R transposed [n,n], lower triangular
  std::int64_t count_ = 0;
};

extern template void DataFactor::add(MatrixView<const float>, const std::string&);
extern template void DataFactor::add(MatrixView<const double>, const std::string&);
extern template Triangle<float> DataFactor::factorize(const std::vector<std::int64_t>&, double) const;
extern template Triangle<double> DataFactor::factorize(const std::vector<std::int64_t>&, double) const;

}  // namespace nearplane::lattice
