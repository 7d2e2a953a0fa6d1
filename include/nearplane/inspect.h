// What is in a model, store or tensor file: names, types, shapes, bytes; for a store also what happened to each layer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "nearplane/quantize.h"

namespace nearplane {

struct TensorSummary {
  std::string name, dtype;  // dtype as stored: "F16", "Q4_1", "int3 g64"
  std::vector<std::int64_t> shape;
  std::int64_t bytes = 0;
};

struct Inspection {
  std::string kind;    // "store", "gguf", "safetensors"
  std::string family;  // "" for a bare tensor file
  std::vector<TensorSummary> tensors;
  std::vector<LayerRecord> layers;          // of a store
  std::vector<EmbeddingRecord> embeddings;  // of a store that has them in codes
  std::int64_t linear_weights = 0, linear_bytes = 0, total_bytes = 0;
  std::map<std::string, std::int64_t> parts;  // of a store: bytes of the linear layers by what they are
};

/// Every byte of a store is read and compared with its checksum. Error{bad_input, unsupported, io}.
Inspection inspect(const std::filesystem::path& path);

}  // namespace nearplane
