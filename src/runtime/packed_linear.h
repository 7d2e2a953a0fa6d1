// A linear layer that multiplies with its packed codes: memory is what the codes take, and one token costs reading
// them.
#pragma once

#include <memory>
#include <vector>

#include "runtime/packed_matrix.h"
#include "transformer/linear.h"

namespace nearplane {

/// y = W x + bias; activations as 16-bit integers (kernel/packed_dot.h), so y is within 2^-15 of |W| |x| for each piece
/// of a row. Results do not depend on the number of threads, nor on how many tokens come at once. Gradients are not
/// for inference: add_transposed is a bug here.
std::unique_ptr<Linear> make_packed_linear(std::unique_ptr<PackedMatrix> matrix, std::vector<float> bias);

}  // namespace nearplane
