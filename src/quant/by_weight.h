// What methods share whose every weight has a quantizer of its own: nearest plane with its certificate, and the record.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lattice/nearest_plane_by.h"
#include "quant/quantize_linear.h"

namespace nearplane {

/// What an error of each column costs once later columns make up for what they can, L_jj^2; without feedback H_jj.
/// Divided by the largest; all 1 where none is positive.
std::vector<double> cost_of_columns(const Hessian::State& hessian, bool feedback);

/// Decides W [m,n] by nearest plane with `quantize`, which keeps the codes it chooses, or by plain rounding; `pack`
/// makes a tensor of them. Feedback is in f32, or in double where the certificate asks for it. The record lacks bits,
/// bound and clipped_share.
QuantizedLayer decide_by_weight(const Matrix<float>& w, const Hessian::State& hessian, bool feedback,
                                const lattice::Quantize& quantize, const std::function<QuantizedTensor()>& pack);

}  // namespace nearplane
