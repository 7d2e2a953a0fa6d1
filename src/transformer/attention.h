// Causal attention of one layer over key blocks, never a whole T x T matrix.
// Problem: a_t = sum_{u <= t} softmax_u(q_t . k_u / sqrt(head_dim)) v_u, u > t - window if there is a window; `heads`
// queries share `kv_heads` keys and values in groups.
// Source: online softmax (Milakov, Gimelshein 2018), blockwise as in FlashAttention (Dao et al. 2022).
// Cost: 4 T^2/2 heads head_dim operations and T^2/2 heads exponentials per sequence of T tokens.
#pragma once

#include <span>

#include "model/model.h"
#include "tensor/matrix.h"

namespace nearplane {

/// Keys and values of positions [0, start + count) of one sequence, and where its new tokens lie among the queries.
struct AttentionSequence {
  std::int64_t first = 0;                // row of its first new token in q and a
  std::int64_t count = 0;                // new tokens
  std::int64_t start = 0;                // position of the first of them
  MatrixView<const float> keys, values;  // [start + count or more, kv_heads * head_dim]
};

/// q [T, heads * head_dim], rotated, -> a of the same shape. log_sums [T, heads], if not empty, receives the logarithm
/// of each softmax's denominator. Parallel over sequences, key heads and query tiles.
void causal_attention(const ModelConfig& config, std::span<const AttentionSequence> sequences,
                      MatrixView<const float> q, MatrixView<float> a, MatrixView<float> log_sums = {});

}  // namespace nearplane
