// Reading safetensors: u64 header length, JSON header, data. The header is hostile until every field has been checked.
#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

#include "base/check.h"
#include "container/tensor_file.h"

namespace nearplane {
namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;  // the limit of the reference reader

std::int64_t checked_bytes(const StoredTensor& tensor) {
  const auto& info = dtype_info(tensor.dtype);
  std::int64_t bytes = info.block_bytes;
  for (const auto extent : tensor.shape) {
    if (extent < 0) fail_input(tensor.where(), "negative extent {}", extent);
    if (__builtin_mul_overflow(bytes, extent, &bytes))
      fail_input(tensor.where(), "extent {} overflows the number of bytes", extent);
  }
  return bytes;
}

StoredTensor parse_entry(const std::string& name, const Json& entry, std::span<const std::byte> data,
                         const std::string& file) {
  StoredTensor tensor;
  tensor.name = name, tensor.file = file;
  const auto where = tensor.where();
  const auto type = json_get<std::string>(entry, "dtype", where);
  const auto dtype = dtype_from_safetensors(type);
  if (!dtype) fail_unsupported(where, "element type {} is not known", type);
  tensor.dtype = *dtype;
  tensor.shape = json_get<std::vector<std::int64_t>>(entry, "shape", where);
  const auto offsets = json_get<std::vector<std::int64_t>>(entry, "data_offsets", where);
  if (offsets.size() != 2) fail_input(where, "data_offsets has {} entries instead of 2", offsets.size());
  const auto begin = offsets[0], end = offsets[1];
  if (begin < 0 || end < begin || end > std::ssize(data))
    fail_input(where, "data_offsets [{}, {}] lie outside the {} bytes of data", begin, end, data.size());
  const auto bytes = checked_bytes(tensor);
  if (bytes != end - begin) fail_input(where, "holds {} bytes, its shape needs {}", end - begin, bytes);
  tensor.bytes = data.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(bytes));
  return tensor;
}

// Tensors must tile the data: no overlap, no gap.
void check_tiling(std::vector<StoredTensor>& tensors, std::span<const std::byte> data, const std::string& file) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::pair(a.bytes.data(), a.bytes.size()) < std::pair(b.bytes.data(), b.bytes.size());
  });
  const auto* expected = data.data();
  for (const auto& t : tensors) {
    if (t.bytes.data() < expected) fail_input(t.where(), "overlaps the tensor before it");
    if (t.bytes.data() > expected) fail_input(t.where(), "{} unused bytes before it", t.bytes.data() - expected);
    expected = t.bytes.data() + t.bytes.size();
  }
  if (expected != data.data() + data.size())
    fail_input(file, "{} bytes after the last tensor", data.data() + data.size() - expected);
}

void check_metadata(const Json& metadata, const std::string& file) {
  if (!metadata.is_object()) fail_input(file, "__metadata__ is not a JSON object");
  for (const auto& [key, value] : metadata.items())
    if (!value.is_string()) fail_input(file, "__metadata__ '{}' is not a string", key);
}

std::vector<StoredTensor> parse_file(const MappedFile& mapped, Json& metadata) {
  const auto file = mapped.path().string();
  const auto bytes = mapped.bytes();
  if (bytes.size() < 8) fail_input(file, "{} bytes are too few for a safetensors header", bytes.size());
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  if (length > kMaxHeader) fail_input(file, "header of {} bytes exceeds the limit of {}", length, kMaxHeader);
  if (length > bytes.size() - 8) fail_input(file, "header of {} bytes in a file of {}", length, bytes.size());
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, length);
  const auto header = parse_json(text, file + ": header");
  if (!header.is_object()) fail_input(file, "header is not a JSON object");
  const auto data = bytes.subspan(8 + length);
  std::vector<StoredTensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      tensors.push_back(parse_entry(name, entry, data, file));
    } else {
      check_metadata(entry, file);
      if (metadata.is_null()) metadata = entry;  // of several shards, the first one's
    }
  }
  check_tiling(tensors, data, file);
  return tensors;
}

// The weight map of an index: name of tensor -> file name of its shard.
std::map<std::string, std::string> read_index(const std::filesystem::path& path) {
  const auto where = path.string();
  const auto index = read_json(path);
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (map == index.end() || !map->is_object()) fail_input(where, "key 'weight_map' is missing or not an object");
  std::map<std::string, std::string> shards;
  for (const auto& [name, shard] : map->items()) {
    if (!shard.is_string()) fail_input(where, "the shard of tensor {} is {}, not a file name", name, shard.dump());
    const auto file = shard.get<std::string>();
    if (std::filesystem::path(file).filename() != file)
      fail_input(where, "the shard of tensor {} is '{}', not a plain file name", name, file);
    shards.emplace(name, file);
  }
  return shards;
}

}  // namespace

TensorFile open_safetensors(const std::filesystem::path& path) {
  TensorFile out;
  out.path_ = path;
  const auto add = [&](const std::filesystem::path& file) {
    auto mapped = std::make_shared<MappedFile>(file);
    for (auto& tensor : parse_file(*mapped, out.metadata_)) {
      if (!out.index_.emplace(tensor.name, out.tensors_.size()).second)
        fail_input(tensor.where(), "is in another shard already");
      out.tensors_.push_back(std::move(tensor));
    }
    out.files_.push_back(std::move(mapped));
  };
  const auto index_file = path / "model.safetensors.index.json";
  if (!std::filesystem::is_directory(path)) {
    add(path);
  } else if (std::filesystem::exists(path / "model.safetensors")) {
    add(path / "model.safetensors");
  } else if (std::filesystem::exists(index_file)) {
    const auto index = read_index(index_file);
    std::set<std::string> shards;
    for (const auto& [name, shard] : index) shards.insert(shard);
    for (const auto& shard : shards) add(path / shard);
    for (const auto& [name, shard] : index) {
      const auto* tensor = out.find(name);
      if (!tensor || tensor->file != (path / shard).string())
        fail_input(index_file.string(), "places tensor {} in {}, which does not hold it", name, shard);
    }
  } else {
    fail_input(path.string(), "holds neither model.safetensors nor model.safetensors.index.json");
  }
  return out;
}

}  // namespace nearplane
