// The target of a layer whose inputs have drifted: what to quantize when the layers before are quantized already.
// Problem: min_q ||X w - X^ q||^2, X^ [T,n] the inputs that arrive, X those of the original model. With D = X - X^ and
//   H = X^^T X^ it is (w' - q)^T H (w' - q) + what no q can reach, w' = w + d, d = H^-1 X^^T D w (damped H).
// Strength: d is a regression on T noisy tokens, and what it removes in one layer the next one tries to remove again;
//   the target is w + a d with 0 <= a <= 1, given, or fitted per layer (DriftOptions).
// Source: math of the family of Qronos (arXiv 2505.11695) and GPTAQ (arXiv 2504.02692); a strength in closed form after
//   the idea of CoreQ (arXiv 2602.05902), with a formula of our own: docs/methods/drift.md.
// Cost: per stage n^3 / 3, per layer 4 m n^2 for the target and 2 m n^2 for the error, in f64.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "nearplane/quantize.h"
#include "qtensor/quantized_tensor.h"
#include "quant/quantize_linear.h"
#include "tensor/matrix.h"

namespace nearplane {

/// Sums over tokens, calib/drift_gram.h.
struct DriftSums {
  const Matrix<double>& cross;    // X^^T D [n,n]
  const Matrix<double>& squares;  // D^T D [n,n], lower triangle valid
  std::int64_t tokens = 0;
};

struct DriftTarget {
  Matrix<float> w;       // [m,n] w + a d
  double explained = 0;  // share of ||D w||^2, over all rows, that X^ d removes; 1 if there is no drift
  double strength = 0;   // a
};

/// Made once for every layer that shares its inputs; keeps references to `hessian` and `sums`.
class DriftCorrection {
 public:
  /// Damping and dead columns are those of `hessian`. Error{numerical} at `where` if a sum is not finite.
  DriftCorrection(const Hessian& hessian, const DriftSums& sums, const std::string& where);
  ~DriftCorrection();

  /// Error{bad_input} at `where` for weights that are not finite.
  DriftTarget target(const Matrix<float>& w, const DriftOptions& options, const std::string& where) const;

  /// ||X w - X^ q||^2 / ||X w||^2 over all rows: the error of the layer's outputs against the original model.
  double output_error(const Matrix<float>& w, const QuantizedTensor& q) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The fitted strength: the adjusted share of drift explained, 1 - (1 - explained) T / (T - n), n inputs; not below 0.
/// No better than chance gives 0, and so do no more tokens than inputs.
double fitted_strength(double explained, std::int64_t tokens, std::int64_t inputs);

}  // namespace nearplane
