// Gradients of causal attention over key blocks; like the forward pass, it never holds a T x T matrix.
// Problem: with p_tu = exp(q_t . k_u / sqrt(head_dim) - log_sum_t), a_t = sum_u p_tu v_u and gradients da at a:
//   dv_u = sum_t p_tu da_t,   ds_tu = p_tu (da_t . v_u - da_t . a_t),
//   dq_t = sum_u ds_tu k_u / sqrt(head_dim),   dk_u = sum_t ds_tu q_t / sqrt(head_dim).
// Source: the recomputation of FlashAttention (Dao et al. 2022): p comes back from log_sum, block by block.
// Cost: 10 T^2/2 heads head_dim operations and T^2/2 heads exponentials per sequence of T tokens.
#pragma once

#include <span>

#include "model/model.h"
#include "tensor/matrix.h"

namespace nearplane {

/// What the forward pass of attention read and wrote. Sequences back to back, each from position 0; q and k rotated.
struct AttentionValues {
  MatrixView<const float> q, k, v;      // [T, heads * head_dim], [T, kv_heads * head_dim] twice
  MatrixView<const float> a, log_sums;  // [T, heads * head_dim], [T, heads]
};

/// `lengths` sums to T. Gradients da at a -> dq, dk, dv (overwritten), shapes as in `values`. Parallel over sequences
/// and key heads.
void causal_attention_backward(const ModelConfig& config, std::span<const std::int64_t> lengths,
                               const AttentionValues& values, MatrixView<const float> da, MatrixView<float> dq,
                               MatrixView<float> dk, MatrixView<float> dv);

}  // namespace nearplane
