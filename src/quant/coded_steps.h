// The steps of a coded layer up to one factor, and the layer in units of them.
// Spacing: with steps a_j = c / L_jj every coordinate of the error is equally large, which minimises the rate at a
//   given error (arithmetic against geometric mean of the squared pivots); rows divided by the root of their
//   sensitivity f_i for the same reason. Both only where they gain more than the bits their codes take.
// Source: WaterSIC, see docs; math: rate of a uniform quantizer at high rate, h(x) - log2(step).
#pragma once

#include <span>
#include <vector>

#include "codec/level_stream.h"
#include "lattice/factor.h"
#include "quant/quantize_linear.h"

namespace nearplane {

struct CodedSteps {
  std::vector<std::uint8_t> row, column;  // as in CodedTensor
  double unit = 1;                        // the common step at which L_jj sqrt(f_i) step_ij is 1, in the mean
  LevelModel model;                       // classes: how wide the levels of a weight are, in quarters of an octave
};

/// For W [m,n] on the factor of its Gram matrix. Options: method, states. `row_sensitivity` [m], not negative, or
/// empty.
CodedSteps choose_steps(const Matrix<float>& w, const lattice::Factor& factor, const GridOptions& options,
                        std::span<const double> row_sensitivity);

/// W [m,n] divided by the steps of its rows and columns.
Matrix<float> divide_by_steps(const Matrix<float>& w, const CodedSteps& steps);

/// The triangle in those units: feedback L_kj a_j / (L_kk a_k), pivots L_kk a_k.
template <class T>
lattice::Triangle<T> multiply_by_steps(const lattice::Triangle<T>& l, const CodedSteps& steps);

extern template lattice::Triangle<float> multiply_by_steps(const lattice::Triangle<float>&, const CodedSteps&);
extern template lattice::Triangle<double> multiply_by_steps(const lattice::Triangle<double>&, const CodedSteps&);

}  // namespace nearplane
