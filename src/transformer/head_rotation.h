// What happens to queries and keys between their projection and attention: the RMS norm of each head (Qwen3), then the
// rotation of the pairs (x_i, x_{i + head_dim/2}) by position times frequency. Both ways: values forward, gradients
// back.
#pragma once

#include <span>
#include <vector>

#include "model/model.h"
#include "tensor/matrix.h"

namespace nearplane {

class HeadRotation {
 public:
  /// Of tokens at these positions, T of them, T > 0.
  HeadRotation(const ModelConfig& config, std::vector<std::int64_t> positions);

  /// x [T, any number of heads * head_dim] in place. norm [head_dim], or empty for none.
  void apply(std::span<const float> norm, MatrixView<float> x) const;
  /// Gradients dy at the output of apply -> at its input x (as before apply), in place; same shapes. Without a norm x
  /// is not read: the inverse of a rotation is its transpose.
  void apply_backward(std::span<const float> norm, MatrixView<const float> x, MatrixView<float> dy) const;

 private:
  std::int64_t row_of(std::int64_t token) const { return positions_[static_cast<std::size_t>(token)] - first_; }

  std::int64_t head_dim_;
  double rms_eps_;
  std::vector<std::int64_t> positions_;
  std::int64_t first_;                   // smallest position
  Matrix<float> cos_, sin_, minus_sin_;  // [positions from first_ on, head_dim / 2]
};

}  // namespace nearplane
