// What can be said of a layer after it was quantized: measured on what was stored.
#pragma once

#include <string>
#include <vector>

#include "lattice/factor.h"
#include "nearplane/quantize.h"
#include "qtensor/quantized_tensor.h"
#include "quant/quantize_linear.h"

namespace nearplane {

/// Error{bad_input} at `where` for W [m,n] that is empty or not finite, or does not fit a Gram matrix of
/// `inputs` inputs.
void check_weights(const Matrix<float>& w, std::int64_t inputs, const std::string& where);

/// W - Q [m,n].
Matrix<float> differences(const Matrix<float>& w, const QuantizedTensor& q);

/// |E_identity - E_direct| / E_direct: the solver's row errors `identity` under the damped H against `direct` [m] under
/// the undamped one and the differences d; rows do not cancel.
double certificate(const lattice::Factor& factor, const std::vector<double>& identity,
                   const std::vector<double>& direct, const Matrix<float>& d);

/// Error (sum of `direct`) and limit relative to tr(W H W^T), and what the factor says. `record.bits_per_weight` is
/// set. Returns tr(W H W^T).
double record_error(const Hessian::State& hessian, const Matrix<float>& w, double error, LayerRecord& record);

/// error / norm, 0 where there is nothing to err about.
double ratio(double error, double norm);
double total(const std::vector<double>& values);

}  // namespace nearplane
