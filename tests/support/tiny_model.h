// For tests: the tiny models of tests/golden/models with the logits transformers computed for them.
#pragma once

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "container/tensor_file.h"
#include "tensor/decode.h"
#include "transformer/transformer.h"

namespace nearplane {

inline std::filesystem::path golden_path(const std::string& name) {
  return std::filesystem::path(NEARPLANE_SOURCE_DIR) / "tests/golden/models" / name;
}

struct GoldenText {
  std::vector<std::int32_t> tokens;
  Matrix<float> logits;  // [tokens, vocab]
};

inline std::vector<GoldenText> golden_texts(const std::string& name) {
  const auto file = open_safetensors(golden_path(name) / "logits.safetensors");
  std::vector<GoldenText> out;
  for (const char* i : {"0", "1"}) {
    const auto& tokens = file.get(std::string("tokens.") + i);
    const auto& logits = file.get(std::string("logits.") + i);
    GoldenText text;
    text.tokens.resize(static_cast<std::size_t>(tokens.elements()));
    std::memcpy(text.tokens.data(), tokens.bytes.data(), tokens.bytes.size());
    text.logits = Matrix<float>(logits.shape[0], logits.shape[1]);
    decode_f32(logits.dtype, logits.bytes.data(), logits.elements(), text.logits.data());
    out.push_back(std::move(text));
  }
  return out;
}

/// A whole model in memory, run over sequences back to back.
struct TinyModel {
  std::unique_ptr<WeightSource> weights;
  std::vector<Block> blocks;
  Head head;

  explicit TinyModel(const std::string& name, Compute compute = Compute::f32)
      : weights(weights_of(std::make_shared<const Model>(Model::open(golden_path(name))))) {
    for (std::int64_t i = 0; i < config().layers; ++i) blocks.push_back(load_block(*weights, i, compute));
    head = load_head(*weights, compute);
  }
  const ModelConfig& config() const { return weights->config(); }

  /// Logits [T, vocab]; the caches, if any, advance.
  Matrix<float> logits(std::span<const std::int32_t> tokens, std::span<const std::int64_t> lengths,
                       std::span<KvCache> caches = {}) const {
    const auto count = std::ssize(tokens);
    Matrix<float> x(count, config().hidden), out(count, config().vocab);
    embed(*weights, tokens, x.view());
    for (const auto& block : blocks) forward_block(block, config(), lengths, x.view(), caches);
    for (std::size_t s = 0; s < caches.size(); ++s) caches[s].advance(lengths[s]);
    head.logits(x.view(), out.view());
    return out;
  }
  Matrix<float> logits(std::span<const std::int32_t> tokens) const {
    return logits(tokens, std::vector{std::ssize(tokens)});
  }
};

/// Largest difference relative to the largest value of `expected`.
inline double relative_difference(MatrixView<const float> actual, MatrixView<const float> expected) {
  double difference = 0, size = 0;
  for (std::int64_t r = 0; r < expected.rows; ++r)
    for (std::int64_t c = 0; c < expected.cols; ++c) {
      if (!std::isfinite(actual(r, c))) return INFINITY;
      difference = std::max(difference, std::abs(static_cast<double>(actual(r, c)) - expected(r, c)));
      size = std::max(size, std::abs(static_cast<double>(expected(r, c))));
    }
  return difference / size;
}

}  // namespace nearplane
