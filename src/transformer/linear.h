// The seam: the forward pass knows a linear layer only by this.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/matrix.h"

namespace nearplane {

// Arithmetic of the products: f32, or inputs rounded to bf16 with f32 sums; packed and expanded are for sources of
// weights that know a way with codes, everything else takes them as f32.
enum class Compute { f32, bf16, packed, expanded };

class Linear {
 public:
  virtual ~Linear() = default;
  virtual std::int64_t in_features() const = 0;
  virtual std::int64_t out_features() const = 0;
  /// x [T, in] -> y [T, out] (overwritten), y = W x + bias. Called outside parallel_for; uses all threads itself.
  virtual void apply(MatrixView<const float> x, MatrixView<float> y) const = 0;
  /// dy [T, out] -> dx [T, in], dx += W^T dy: gradients on their way back. Called like apply.
  virtual void add_transposed(MatrixView<const float> dy, MatrixView<float> dx) const = 0;
};

/// Rows of a weight matrix that can be decoded to f32 on demand: a mapped tensor, a quantized tensor.
class WeightRows {
 public:
  virtual ~WeightRows() = default;
  virtual std::int64_t rows() const = 0;  // out
  virtual std::int64_t cols() const = 0;  // in
  /// Rows [r0, r0 + count) to out[count, cols]. Thread-safe, single-threaded.
  virtual void decode(std::int64_t r0, std::int64_t count, float* out) const = 0;
};

/// y = W x + bias, with W decoded a tile of rows at a time: memory stays what the file says, whatever its format.
/// Compute::bf16 rounds W, x and dy; add_transposed then still multiplies in f32. The others are f32.
std::unique_ptr<Linear> make_linear(std::shared_ptr<const WeightRows> weights, std::vector<float> bias,
                                    Compute compute);

}  // namespace nearplane
