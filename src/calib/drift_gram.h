// What a layer's inputs lost on their way through quantized layers, as far as a linear layer can tell.
// Problem: X^ [T, n] are the inputs that the quantized layers before it produce, X those of the original model; sums
// over calibration tokens of X^^T D and D^T D, D = X - X^. The difference is formed before the products: X^^T X minus
// X^^T X^ would lose in f32 what drift is about.
// Cost: 3 T n^2 operations, three times the Gram matrix itself. Rounding as in calib/gram.h.
#pragma once

#include "calib/gram.h"

namespace nearplane {

class DriftGram {
 public:
  /// `n` inputs. With Arithmetic::bf16 both inputs are rounded to bf16 first, products stay f32.
  DriftGram(std::int64_t n, Arithmetic arithmetic);

  /// Adds the rows of quantized and original [T, n]. Same bits for any number of threads. Throws Error{numerical} at
  /// `where`, naming token and column, for NaN or Inf in their difference.
  void add(MatrixView<const float> quantized, MatrixView<const float> original, const std::string& where);

  std::int64_t tokens() const { return squares_.tokens(); }
  /// X^^T D [n, n].
  const Matrix<double>& cross() const { return cross_; }
  /// D^T D [n, n], lower triangle valid.
  const Matrix<double>& squares() const { return squares_.total(); }

 private:
  void add_chunk(MatrixView<const float> quantized, MatrixView<const float> original, const std::string& where);

  Matrix<double> cross_;
  Gram squares_;
  Matrix<float> difference_;
  ColumnPanels seen_;
  Arithmetic arithmetic_;
};

}  // namespace nearplane
