// The backward pass of a Llama-like model for activations only: from gradients at a block's output to gradients at the
// output of each of its linear layers and at its input. No gradient of a weight is taken.
// Source: the chain rule over the stages of transformer.h; values are recomputed from the block's input, so nothing but
// block inputs is kept between the passes.
// Cost per block: two forward passes (one recomputes, one multiplies by the transposed weights). Memory: about
// 3 T f + 9 T d + 5 T kv_heads head_dim floats, one panel of decoded weights; T is the caller's choice.
#pragma once

#include <functional>
#include <span>

#include "transformer/transformer.h"

namespace nearplane {

/// Called with g [T, out], the gradient at y = W x + bias of one linear layer. g is valid during the call.
using OutputGradient = std::function<void(LinearKind kind, MatrixView<const float> g)>;

/// x [T, d]: input of the block; dx [T, d]: gradient at its output, replaced by the gradient at x. `lengths` as in
/// attend: sequences back to back from position 0. Visits each of the seven linear layers once:
///   down: dx;  gate, up: through silu(gate) * up from W_down^T dx;  o: dx plus what comes back through the MLP's norm;
///   q, k, v: through attention (attention_backward.h), rotation and head norms from W_o^T of that.
void backward_block(const Block& block, const ModelConfig& config, std::span<const std::int64_t> lengths,
                    MatrixView<const float> x, MatrixView<float> dx, const OutputGradient& visit);

/// x [T, d]: output of the last block; dlogits [T, vocab] -> dx [T, d] (overwritten). The caller keeps T small.
void backward_head(const Head& head, MatrixView<const float> x, MatrixView<const float> dlogits, MatrixView<float> dx);

}  // namespace nearplane
