#include "exporter/shards.h"

#include "base/check.h"
#include "base/json.h"

namespace nearplane {
namespace {

using Shard = std::span<const TensorGroup>;

std::vector<Shard> split(std::span<const TensorGroup> groups, std::int64_t limit) {
  std::vector<Shard> shards;
  for (std::size_t begin = 0, end = 0; begin < groups.size(); begin = end) {
    auto bytes = groups[end++].bytes();
    while (end < groups.size() && bytes + groups[end].bytes() <= limit) bytes += groups[end++].bytes();
    shards.push_back(groups.subspan(begin, end - begin));
  }
  return shards;
}

void write_shard(const std::filesystem::path& path, Shard shard, const std::function<void(const TensorGroup&)>& done) {
  std::vector<TensorLayout> tensors;
  for (const auto& group : shard) tensors.insert(tensors.end(), group.tensors.begin(), group.tensors.end());
  SafetensorsWriter file(path, tensors, {{"format", "pt"}});
  for (const auto& group : shard) {
    group.write([&](std::span<const std::byte> bytes) { file.write(bytes); });
    done(group);
  }
  file.commit();
}

}  // namespace

std::int64_t TensorGroup::bytes() const {
  std::int64_t sum = 0;
  for (const auto& tensor : tensors) sum += tensor.bytes();
  return sum;
}

void write_shards(const std::filesystem::path& folder, const std::vector<TensorGroup>& groups, std::int64_t limit,
                  const std::function<void(const TensorGroup&)>& done) {
  const auto shards = split(groups, limit);
  if (shards.size() == 1) return write_shard(folder / "model.safetensors", shards[0], done);
  std::int64_t total = 0;
  Json where = Json::object();
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const auto file = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    write_shard(folder / file, shards[i], done);
    for (const auto& group : shards[i]) {
      total += group.bytes();
      for (const auto& tensor : group.tensors) where[tensor.name] = file;
    }
  }
  const Json index = {{"metadata", {{"total_size", total}}}, {"weight_map", where}};
  write_file(folder / "model.safetensors.index.json", index.dump(2) + "\n");
}

}  // namespace nearplane
