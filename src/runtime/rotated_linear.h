// A rotated layer in the forward pass: its matrix is never rotated back, the tokens are rotated.
// Problem: y = U^T (Z (V x)) + bias, Z decoded a panel of rows at a time; rotated_tensor.h.
// Cost: that of Z, and two rotations a token: a few tens of operations for each of its numbers.
#pragma once

#include <memory>
#include <vector>

#include "qtensor/quantized_tensor.h"
#include "transformer/linear.h"

namespace nearplane {

/// `tensor` is of the rotated form. Compute::bf16 rounds Z and V x.
std::unique_ptr<Linear> make_rotated_linear(std::shared_ptr<const QuantizedTensor> tensor, std::vector<float> bias,
                                            Compute compute);

}  // namespace nearplane
