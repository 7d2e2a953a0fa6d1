// Weights of a model on disk, blocks and the head made from a WeightSource, and the embedding.
#include <cassert>
#include <cmath>

#include "base/check.h"
#include "transformer/for_tokens.h"
#include "transformer/scratch.h"
#include "transformer/transformer.h"

namespace nearplane {
namespace {

constexpr const char* kEmbedding = "model.embed_tokens.weight";

class ModelRows : public WeightRows {
 public:
  ModelRows(std::shared_ptr<const Model> model, std::string name)
      : model_(std::move(model)), name_(std::move(name)), tensor_(model_->tensor(name_)) {
    assert(tensor_.shape.size() == 2);
  }
  std::int64_t rows() const override { return tensor_.shape[0]; }
  std::int64_t cols() const override { return tensor_.shape[1]; }
  void decode(std::int64_t r0, std::int64_t count, float* out) const override {
    model_->decode_rows(name_, r0, count, out);
  }

 private:
  std::shared_ptr<const Model> model_;
  std::string name_;
  const StoredTensor& tensor_;
};

class ModelWeights : public WeightSource {
 public:
  explicit ModelWeights(std::shared_ptr<const Model> model) : model_(std::move(model)) {}
  const ModelConfig& config() const override { return model_->config(); }
  std::shared_ptr<const WeightRows> rows(const std::string& name) const override {
    return std::make_shared<ModelRows>(model_, name);
  }
  std::vector<float> vector(const std::string& name) const override { return model_->decode_vector(name); }

 private:
  std::shared_ptr<const Model> model_;
};

void check_tokens(std::span<const std::int32_t> tokens, std::int64_t vocab) {
  for (std::size_t i = 0; i < tokens.size(); ++i)
    if (tokens[i] < 0 || tokens[i] >= vocab)
      fail_input("tokens", "id {} at position {} is outside the vocabulary of {}", tokens[i], i, vocab);
}

}  // namespace

std::unique_ptr<WeightSource> weights_of(std::shared_ptr<const Model> model) {
  return std::make_unique<ModelWeights>(std::move(model));
}

Block load_block(const WeightSource& weights, std::int64_t index, Compute compute) {
  const auto& config = weights.config();
  const auto prefix = fmt::format("model.layers.{}.", index);
  Block block;
  block.index = index;
  block.attention_norm = weights.vector(prefix + "input_layernorm.weight");
  block.mlp_norm = weights.vector(prefix + "post_attention_layernorm.weight");
  if (config.qk_norm) {
    block.q_norm = weights.vector(prefix + "self_attn.q_norm.weight");
    block.k_norm = weights.vector(prefix + "self_attn.k_norm.weight");
  }
  for (const auto kind : kLinearKinds) {
    const auto name = linear_name(index, kind);
    std::vector<float> bias;
    if (linear_has_bias(config, kind)) bias = weights.vector(name + ".bias");
    block.linear[static_cast<std::size_t>(kind)] = weights.linear(name + ".weight", std::move(bias), compute);
  }
  return block;
}

void embed(const WeightSource& weights, std::span<const std::int32_t> tokens, MatrixView<float> x) {
  const auto table = weights.rows(kEmbedding);
  const auto count = std::ssize(tokens);
  assert(x.rows == count && x.cols == table->cols());
  check_tokens(tokens, table->rows());
  for_tokens(count, [&](std::int64_t t) {
    const auto token = tokens[static_cast<std::size_t>(t)];
    table->decode(token, 1, x.row(t));
    for (std::int64_t j = 0; j < x.cols; ++j)
      if (!std::isfinite(x(t, j))) fail_input(kEmbedding, "row {}, column {} is {}", token, j, x(t, j));
  });
}

Head load_head(const WeightSource& weights, Compute compute) {
  const auto& config = weights.config();
  Head head;
  head.norm = weights.vector("model.norm.weight");
  head.eps = config.rms_eps;
  head.linear = weights.linear(config.tied_head ? kEmbedding : "lm_head.weight", {}, compute);
  return head;
}

void Head::logits(MatrixView<const float> x, MatrixView<float> out) const {
  const auto normed = scratch<float, Scratch::normed>(x.rows, x.cols);
  rms_norm(x, norm, eps, normed);
  linear->apply(normed, out);
}

}  // namespace nearplane
