// Nearest plane where every weight has a quantizer of its own: for grids that change from weight to weight, which
// nearest_plane.h does not know.
// Problem: for k = 1..r in the order of the factor, c_k = w_k + sum_{j<k} (L_kj / L_kk) (w_j - q_j), q_k =
// quantize(c_k). Cost: m r^2 operations in products, 32 scalar ones and a call of the quantizer for each weight.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "lattice/factor.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

/// What becomes of the weight at (row, column) whose target is `target`; called once for each weight, on all threads, a
/// row's columns in order. A target may be NaN where the feedback left the range of T: some level is the answer.
using Quantize = std::function<float(std::int64_t row, std::int64_t column, double target)>;

/// w [m,n] finite -> q [m,n]; columns outside the order are quantized as they are. Returns the rows' errors [m] under
/// the damped H, sum of L_kk^2 (c_k - q_k)^2. T is the type of the feedback. Same bits for any number of threads.
template <class T>
std::vector<double> nearest_plane_by(MatrixView<const float> w, const Triangle<T>& l, const Quantize& quantize,
                                     MatrixView<float> q);

extern template std::vector<double> nearest_plane_by(MatrixView<const float>, const Triangle<float>&, const Quantize&,
                                                     MatrixView<float>);
extern template std::vector<double> nearest_plane_by(MatrixView<const float>, const Triangle<double>&, const Quantize&,
                                                     MatrixView<float>);

}  // namespace nearplane::lattice
