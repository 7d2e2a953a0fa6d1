// The Gram matrix of a layer's inputs, H = X^T X, summed over calibration tokens as they pass.
// Cost: half of 2 T n^2 operations (only tiles on and below the diagonal). Rounding: f32 products of at most kChunk
// tokens, added into f64 totals, so the error does not grow with the number of tokens.
#pragma once

#include <cstdint>
#include <string>

#include "calib/column_panels.h"
#include "nearplane/quantize.h"
#include "tensor/matrix.h"

namespace nearplane {

class Gram {
 public:
  /// `n` inputs. With Arithmetic::bf16 the inputs are rounded to bf16 first: the layer itself sees them so.
  Gram(std::int64_t n, Arithmetic arithmetic);

  /// Adds the rows of x [T, n]. Same bits for any number of threads; T decides where f32 sums end, so callers keep
  /// their chunks independent of it. Throws Error{numerical} at `where`, naming token and column, for NaN or Inf in x.
  void add(MatrixView<const float> x, const std::string& where);

  std::int64_t tokens() const { return tokens_; }
  /// The rows added last, at most a chunk; Arithmetic::f32 only.
  const ColumnPanels& panels() const { return panels_; }
  /// [n, n], lower triangle valid.
  const Matrix<double>& total() const { return total_; }

 private:
  void round(MatrixView<const float> x);
  void add_rounded(std::int64_t i, std::int64_t j);

  Matrix<double> total_;
  ColumnPanels panels_;            // f32 only
  Matrix<std::uint16_t> rounded_;  // x transposed in bf16, [n, T]; bf16 only
  Arithmetic arithmetic_;
  std::int64_t tokens_ = 0;
};

}  // namespace nearplane
