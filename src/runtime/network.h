// A model or a native store, opened for the forward pass: one place decides which of the two a path is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "nearplane/quantize.h"
#include "qtensor/store.h"
#include "tokenizer/tokenizer.h"
#include "transformer/transformer.h"

namespace nearplane {

struct Network {
  std::unique_ptr<WeightSource> weights;
  std::unique_ptr<Tokenizer> tokenizer;
  std::int64_t linear_weights = 0;  // weights in the linear layers of the blocks
  std::int64_t linear_bytes = 0;    // bytes that store them

  const ModelConfig& config() const { return weights->config(); }
  double bits_per_weight() const {
    return 8.0 * static_cast<double>(linear_bytes) / static_cast<double>(linear_weights);
  }
};

/// Opens a Hugging Face folder, a GGUF file or a native store. Error{bad_input, unsupported, io}.
Network open_network(const std::filesystem::path& path);

/// The tokenizer of a model: from its folder, or made from its GGUF metadata.
std::unique_ptr<Tokenizer> open_tokenizer(const Model& model);

/// A quantized layer as the forward pass knows it: rows decoded on demand, or rotated inputs and outputs.
std::unique_ptr<Linear> linear_of(std::shared_ptr<const QuantizedTensor> tensor, std::vector<float> bias,
                                  Compute compute);

inline Compute compute_of(Arithmetic arithmetic) {
  constexpr Compute kComputes[] = {Compute::f32, Compute::bf16, Compute::packed, Compute::expanded};
  return kComputes[static_cast<int>(arithmetic)];
}

}  // namespace nearplane
