// The forward pass of a Llama-like model over Linear, one stage of one block at a time, so that calibration, perplexity
// and generation are the same code. Shapes: T tokens of one or more sequences back to back; d hidden; f intermediate.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/model.h"
#include "tensor/matrix.h"
#include "transformer/linear.h"

namespace nearplane {

/// Where the forward pass gets its numbers: a model on disk, or a store. Names are canonical (model/model.h).
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual const ModelConfig& config() const = 0;
  virtual std::shared_ptr<const WeightRows> rows(const std::string& name) const = 0;
  virtual std::vector<float> vector(const std::string& name) const = 0;
  /// A linear layer. A source that knows a faster way than decoded rows overrides it.
  virtual std::unique_ptr<Linear> linear(const std::string& name, std::vector<float> bias, Compute compute) const {
    return make_linear(rows(name), std::move(bias), compute);
  }
};
std::unique_ptr<WeightSource> weights_of(std::shared_ptr<const Model> model);

/// One block, ready to run. Holds no f32 copy of its matrices.
struct Block {
  std::int64_t index = 0;
  std::vector<float> attention_norm, mlp_norm;    // [d]
  std::vector<float> q_norm, k_norm;              // [head_dim], empty unless config.qk_norm
  std::array<std::unique_ptr<Linear>, 7> linear;  // by LinearKind
  Linear& at(LinearKind kind) const { return *linear[static_cast<std::size_t>(kind)]; }
};
/// Error{bad_input} naming the tensor for what cannot be decoded.
Block load_block(const WeightSource& weights, std::int64_t index, Compute compute);

/// Keys and values of the tokens seen so far, of one sequence, all blocks.
class KvCache {
 public:
  KvCache(const ModelConfig& config, std::int64_t capacity);
  std::int64_t length() const { return length_; }
  std::int64_t capacity() const { return capacity_; }
  /// After all blocks have seen `count` new tokens.
  void advance(std::int64_t count) { length_ += count; }
  /// Forgets all but the first `length` tokens, and makes room for `capacity` in all if there is less.
  void restart_at(std::int64_t length, std::int64_t capacity);
  /// Rows of block `layer`: [capacity, kv_heads * head_dim].
  MatrixView<float> keys(std::int64_t layer) { return keys_[static_cast<std::size_t>(layer)].view(); }
  MatrixView<float> values(std::int64_t layer) { return values_[static_cast<std::size_t>(layer)].view(); }

 private:
  std::int64_t length_ = 0, capacity_ = 0;
  std::vector<Matrix<float>> keys_, values_;
};

/// Rows of x [T, d] for `tokens`. Error{bad_input} for an id outside the vocabulary.
void embed(const WeightSource& weights, std::span<const std::int32_t> tokens, MatrixView<float> x);
/// out [T, d] = RMS norm of x times weight.
void rms_norm(MatrixView<const float> x, std::span<const float> weight, double eps, MatrixView<float> out);

/// Stage 1: h [T, d] (normed) -> a [T, heads * head_dim]: q/k/v, q/k norms, rope, causal attention. `lengths` sums to
/// T; each sequence starts at position 0. `caches` is empty, or holds one cache per sequence (batched generation), and
/// sequence i continues at caches[i].length(); its new keys and values are written there.
/// Attention runs over key blocks with a running maximum: no T x T matrix exists.
void attend(const Block& block, const ModelConfig& config, std::span<const std::int64_t> lengths,
            MatrixView<const float> h, MatrixView<float> a, std::span<KvCache> caches);
/// Stage 2: x [T, d] += o(a).
void add_attention(const Block& block, MatrixView<const float> a, MatrixView<float> x);
/// Stage 3: h [T, d] (normed) -> m [T, f] = silu(gate(h)) * up(h).
void gate_up(const Block& block, MatrixView<const float> h, MatrixView<float> m);
/// Stage 4: x [T, d] += down(m).
void add_mlp(const Block& block, MatrixView<const float> m, MatrixView<float> x);

/// All four stages, a bounded number of tokens at a time (whole sequences): x [T, d] in place.
void forward_block(const Block& block, const ModelConfig& config, std::span<const std::int64_t> lengths,
                   MatrixView<float> x, std::span<KvCache> caches);

/// The output head: final norm and vocabulary projection.
struct Head {
  std::vector<float> norm;
  double eps = 1e-5;
  std::unique_ptr<Linear> linear;  // [vocab, d]
  /// logits [T, vocab] of x [T, d]. The caller keeps T small.
  void logits(MatrixView<const float> x, MatrixView<float> out) const;
};
Head load_head(const WeightSource& weights, Compute compute);

}  // namespace nearplane
