#include "transformer/backward.h"

#include <algorithm>
#include <cassert>

#include "transformer/attention.h"
#include "transformer/attention_backward.h"
#include "transformer/for_tokens.h"
#include "transformer/head_rotation.h"
#include "transformer/scratch.h"
#include "transformer/vector_ops.h"

namespace nearplane {
namespace {

void copy_rows(MatrixView<const float> from, MatrixView<float> to) {
  for_tokens(from.rows, [&](std::int64_t t) { std::copy_n(from.row(t), from.cols, to.row(t)); });
}

// out [T, in] = W^T dy.
void transposed(const Linear& linear, MatrixView<const float> dy, MatrixView<float> out) {
  for_tokens(out.rows, [&](std::int64_t t) { std::fill_n(out.row(t), out.cols, 0.0f); });
  linear.add_transposed(dy, out);
}

// dx += gradient at x of a norm whose output has the gradient dh, which is overwritten.
void add_norm_backward(MatrixView<const float> x, std::span<const float> weight, double eps, MatrixView<float> dh,
                       MatrixView<float> dx) {
  for_tokens(x.rows, [&](std::int64_t t) {
    rms_norm_row_backward(x.row(t), weight.data(), x.cols, eps, dh.row(t));
    add(dx.row(t), dh.row(t), x.cols);
  });
}

std::vector<std::int64_t> positions_of(std::span<const std::int64_t> lengths) {
  std::vector<std::int64_t> out;
  for (const auto length : lengths)
    for (std::int64_t i = 0; i < length; ++i) out.push_back(i);
  return out;
}

// One block: its values recomputed, then gradients through them. All matrices lie in the calling thread's scratch.
class BlockBackward {
 public:
  BlockBackward(const Block& block, const ModelConfig& config, std::span<const std::int64_t> lengths,
                MatrixView<const float> x)
      : block_(block),
        config_(config),
        lengths_(lengths),
        x_(x),
        rotation_(config, positions_of(lengths)),
        queries_(config.heads * config.head_dim),
        keys_(config.kv_heads * config.head_dim) {}

  void run(MatrixView<float> dx, const OutputGradient& visit) {
    recompute();
    through_mlp(dx, visit);
    through_attention(dx, visit);
  }

 private:
  template <Scratch Name>
  MatrixView<float> temporary(std::int64_t cols) const {
    return scratch<float, Name>(x_.rows, cols);
  }
  const Linear& at(LinearKind kind) const { return block_.at(kind); }

  void recompute() {
    const auto h = temporary<Scratch::normed>(config_.hidden);
    rms_norm(x_, block_.attention_norm, config_.rms_eps, h);
    projected_q_ = temporary<Scratch::projected_queries>(queries_), at(LinearKind::q).apply(h, projected_q_);
    projected_k_ = temporary<Scratch::projected_keys>(keys_), at(LinearKind::k).apply(h, projected_k_);
    v_ = temporary<Scratch::values>(keys_), at(LinearKind::v).apply(h, v_);
    q_ = temporary<Scratch::queries>(queries_), copy_rows(projected_q_, q_);
    k_ = temporary<Scratch::keys>(keys_), copy_rows(projected_k_, k_);
    rotation_.apply(block_.q_norm, q_);
    rotation_.apply(block_.k_norm, k_);
    a_ = temporary<Scratch::attention>(queries_), log_sums_ = temporary<Scratch::log_sums>(config_.heads);
    std::vector<AttentionSequence> sequences;
    std::int64_t t0 = 0;
    for (const auto length : lengths_) {
      sequences.push_back({t0, length, 0, k_.rows_at(t0, length), v_.rows_at(t0, length)});
      t0 += length;
    }
    causal_attention(config_, sequences, q_, a_, log_sums_);

    middle_ = temporary<Scratch::middle>(config_.hidden);
    copy_rows(x_, middle_);
    add_attention(block_, a_, middle_);
    rms_norm(middle_, block_.mlp_norm, config_.rms_eps, h);
    gate_ = temporary<Scratch::hidden>(config_.intermediate), at(LinearKind::gate).apply(h, gate_);
    up_ = temporary<Scratch::up>(config_.intermediate), at(LinearKind::up).apply(h, up_);
  }

  // dx from the block's output to middle = x + o(a).
  void through_mlp(MatrixView<float> dx, const OutputGradient& visit) const {
    visit(LinearKind::down, dx);
    const auto dm = temporary<Scratch::hidden_gradient>(config_.intermediate);
    transposed(at(LinearKind::down), dx, dm);
    for_tokens(dm.rows, [&](std::int64_t t) { silu_times_backward(gate_.row(t), up_.row(t), dm.row(t), dm.cols); });
    visit(LinearKind::gate, gate_);
    visit(LinearKind::up, up_);
    const auto dh = temporary<Scratch::normed>(config_.hidden);
    transposed(at(LinearKind::gate), gate_, dh);
    at(LinearKind::up).add_transposed(up_, dh);
    add_norm_backward(middle_, block_.mlp_norm, config_.rms_eps, dh, dx);
  }

  // dx from middle to x.
  void through_attention(MatrixView<float> dx, const OutputGradient& visit) const {
    visit(LinearKind::o, dx);
    const auto da = temporary<Scratch::attention_gradient>(queries_), dq = temporary<Scratch::query_gradient>(queries_);
    const auto dk = temporary<Scratch::key_gradient>(keys_), dv = temporary<Scratch::value_gradient>(keys_);
    transposed(at(LinearKind::o), dx, da);
    causal_attention_backward(config_, lengths_, {q_, k_, v_, a_, log_sums_}, da, dq, dk, dv);
    rotation_.apply_backward(block_.q_norm, projected_q_, dq);
    rotation_.apply_backward(block_.k_norm, projected_k_, dk);
    visit(LinearKind::q, dq);
    visit(LinearKind::k, dk);
    visit(LinearKind::v, dv);
    const auto dh = temporary<Scratch::normed>(config_.hidden);
    transposed(at(LinearKind::q), dq, dh);
    at(LinearKind::k).add_transposed(dk, dh);
    at(LinearKind::v).add_transposed(dv, dh);
    add_norm_backward(x_, block_.attention_norm, config_.rms_eps, dh, dx);
  }

  const Block& block_;
  const ModelConfig& config_;
  std::span<const std::int64_t> lengths_;
  MatrixView<const float> x_;
  HeadRotation rotation_;
  std::int64_t queries_, keys_;  // columns of q and a, of k and v
  MatrixView<float> projected_q_, projected_k_, q_, k_, v_, a_, log_sums_, middle_;
  MatrixView<float> gate_, up_;  // values, then gradients
};

}  // namespace

void backward_block(const Block& block, const ModelConfig& config, std::span<const std::int64_t> lengths,
                    MatrixView<const float> x, MatrixView<float> dx, const OutputGradient& visit) {
  assert(dx.rows == x.rows && dx.cols == x.cols && x.cols == config.hidden);
  if (x.rows > 0) BlockBackward(block, config, lengths, x).run(dx, visit);
}

void backward_head(const Head& head, MatrixView<const float> x, MatrixView<const float> dlogits, MatrixView<float> dx) {
  assert(dlogits.rows == x.rows && dx.rows == x.rows && dx.cols == x.cols);
  const auto dh = scratch<float, Scratch::normed>(x.rows, x.cols);
  transposed(*head.linear, dlogits, dh);
  for_tokens(dx.rows, [&](std::int64_t t) { std::fill_n(dx.row(t), dx.cols, 0.0f); });
  add_norm_backward(x, head.norm, head.eps, dh, dx);
}

}  // namespace nearplane
