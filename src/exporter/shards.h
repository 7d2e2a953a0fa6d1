// The tensors of a checkpoint spread over safetensors files of limited size.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "container/safetensors_write.h"

namespace nearplane {

/// Tensors that stay in one file, and what writes their bytes in order.
struct TensorGroup {
  std::string name;  // for progress
  std::vector<TensorLayout> tensors;
  std::function<void(const ByteSink&)> write;

  std::int64_t bytes() const;
};

/// Writes the groups in order: one file model.safetensors if all fit into `limit` bytes of data, else
/// model-0000i-of-0000N.safetensors, each filled up to the limit (by one group at least), with an index. `done` is
/// called after each group. Memory: what a group's `write` needs.
void write_shards(const std::filesystem::path& folder, const std::vector<TensorGroup>& groups, std::int64_t limit,
                  const std::function<void(const TensorGroup&)>& done);

}  // namespace nearplane
