// The tensors a model of a given config consists of, by canonical (Hugging Face) name.
#pragma once

#include <string>
#include <vector>

#include "model/model.h"

namespace nearplane {

struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;
};

/// All of them in model order: embedding, blocks, final norm, head (if untied).
std::vector<TensorSpec> expected_tensors(const ModelConfig& config);

}  // namespace nearplane
