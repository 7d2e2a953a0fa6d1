// Nearest plane without a range at a price, and the price at which its codes fill a budget.
// Problem: bits(price), counted from the packed layer, falls: dearer listed codes make steps larger and the list
// shorter. Method: secant search between a price that fits and one that does not.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lattice/factor.h"
#include "qtensor/sparse_tensor.h"
#include "quant/sparse_steps.h"
#include "tensor/matrix.h"

namespace nearplane {

/// A factor whose last `kept` columns are kept as floats.
template <class T>
struct SparseBasis {
  const lattice::Triangle<T>& integers;  // its factor ends before the kept columns, its rows go on
  const lattice::Factor& whole;
  std::int64_t kept = 0;
};

struct SparseCodes {
  double price = 0;
  SparseTensor tensor;
  std::vector<double> errors;  // [m] sum_k e_k^2
  double bound = 0;            // sum over the rows of what nearest plane cannot exceed
  bool sound = false;          // codes fit 16 bits, feedback its type

  double bits() const;  // per weight, counted from the tensor
  double error() const;
};

template <class T>
class SparseSearch {
 public:
  /// w [m,n] finite, group divides n. Keeps references.
  SparseSearch(MatrixView<const float> w, const SparseBasis<T>& basis, std::int64_t group, const std::string& where);

  SparseCodes at(double price, int bits) const;
  /// With no weight above its range; error feedback can still drive codes there.
  SparseCodes coarsest(int bits) const { return at(steps_.scale() * 0x1p60, bits); }
  /// Of any layer of this shape with dense codes of `bits` bits.
  double least_bits(int bits) const;
  /// A price to start from.
  double likely_price(double target) const;
  /// Least error that was found with at most `target` bits per weight; searched from `price` on, first in strides of
  /// `stride` octaves. nullopt: none fits.
  std::optional<SparseCodes> fill(int bits, double target, double price, double stride) const;

 private:
  Matrix<std::uint16_t> keep(MatrixView<const std::int16_t> codes, const lattice::Grid& grid,
                             std::vector<double>& errors) const;
  double bound(const SparseCodes& found, const lattice::Grid& grid) const;

  MatrixView<const float> w_;
  const SparseBasis<T>& basis_;
  std::int64_t group_;
  const std::string& where_;
  std::vector<std::int32_t> kept_columns_;  // ascending
  std::vector<std::int64_t> kept_place_;    // of position rank + k among them
  std::vector<std::int64_t> dead_columns_;  // outside the order
  Matrix<float> integer_weights_;           // w with 0 for kept columns
  SparseSteps steps_;
};

extern template class SparseSearch<float>;
extern template class SparseSearch<double>;

}  // namespace nearplane
