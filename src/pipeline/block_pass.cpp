#include "pipeline/block_pass.h"

#include <array>
#include <cstring>

#include "base/check.h"
#include "base/hash.h"
#include "container/tensor_file.h"

namespace nearplane {
namespace {

constexpr std::array kLanes{"quantized", "original"};

std::string item_name(const BlockPass& pass, std::int64_t block) { return fmt::format("{}-{:05}", pass.name, block); }

std::filesystem::path data_path(const Journal& journal, const BlockPass& pass, std::int64_t block) {
  return journal.folder() / (item_name(pass, block) + ".safetensors");
}

// Returns the checksums.
Json save(const StageWalk& walk, const std::filesystem::path& path) {
  std::vector<TensorToWrite> tensors;
  Json checksums = Json::array();
  for (const auto& x : walk.activations()) {
    const auto bytes = std::as_bytes(std::span(x->data(), static_cast<std::size_t>(x->size())));
    tensors.push_back({kLanes[tensors.size()], DType::f32, {x->rows(), x->cols()}, bytes});
    checksums.push_back(hash64_hex(bytes));
  }
  write_safetensors(path, tensors, {});
  return checksums;
}

void load(StageWalk& walk, std::int64_t block, const std::filesystem::path& path, const Json& checksums) {
  const auto file = open_safetensors(path);
  const auto lanes = walk.go_on(block);
  for (std::size_t i = 0; i < lanes.size(); ++i) {
    const auto& tensor = file.get(kLanes[i]);
    const auto bytes = std::as_writable_bytes(std::span(lanes[i]->data(), static_cast<std::size_t>(lanes[i]->size())));
    if (tensor.bytes.size() != bytes.size() || hash64_hex(tensor.bytes) != checksums.at(i).get<std::string>())
      fail_input(tensor.where(), "checksum differs: the file is damaged; --restart begins anew");
    std::memcpy(bytes.data(), tensor.bytes.data(), bytes.size());
    file.release(tensor);
  }
}

}  // namespace

void pass_over_blocks(Journal& journal, const BlockPass& pass) {
  std::int64_t block = 0;
  Json checksums;
  for (; block < pass.blocks; ++block) {
    const auto item = journal.find(item_name(pass, block));
    if (!item) break;
    pass.known(block, item->at("outcome"));
    checksums = item->at("activations");
  }
  if (block == pass.blocks) return;
  std::unique_ptr<StageWalk> walk;
  if (pass.begin) walk = pass.begin();
  if (walk && block > 0) load(*walk, block, data_path(journal, pass, block - 1), checksums);
  for (; block < pass.blocks; ++block) {
    Json item{{"outcome", pass.work(block, walk.get())}, {"activations", nullptr}};
    const auto path = data_path(journal, pass, block);
    const bool going_on = walk && block + 1 < pass.blocks;
    if (going_on) item["activations"] = save(*walk, path);
    journal.put(item_name(pass, block), item);
    journal.drop_data(pass.name + "-", going_on ? path : std::filesystem::path());
  }
}

}  // namespace nearplane
