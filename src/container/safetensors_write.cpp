#include "container/safetensors_write.h"

#include <cassert>

#include "base/check.h"
#include "container/tensor_file.h"

namespace nearplane {

std::int64_t TensorLayout::bytes() const {
  std::int64_t count = 1;
  for (const auto extent : shape) count *= extent;
  return dtype_bytes(dtype, count);
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::span<const TensorLayout> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  for (const auto& tensor : tensors) {
    const auto& info = dtype_info(tensor.dtype);
    const auto where = path.string() + ": tensor " + tensor.name;
    if (info.block != 1) fail_input(where, "element type {} has no safetensors form", info.name);
    if (header.contains(tensor.name)) fail_input(where, "occurs twice");
    const auto begin = missing_;
    missing_ += tensor.bytes();
    header[tensor.name] = {{"dtype", info.name}, {"shape", tensor.shape}, {"data_offsets", {begin, missing_}}};
  }
  auto text = header.dump();
  text.resize((8 + text.size() + 63) / 64 * 64 - 8, ' ');  // data starts aligned for SIMD
  const std::uint64_t length = text.size();
  file_.write(std::as_bytes(std::span(&length, 1)));
  file_.write(text);
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  missing_ -= std::ssize(bytes);
  assert(missing_ >= 0);
  file_.write(bytes);
}

void SafetensorsWriter::commit() {
  assert(missing_ == 0);
  file_.commit();
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorLayout> layouts;
  for (const auto& tensor : tensors) {
    const auto& layout = layouts.emplace_back(TensorLayout{tensor.name, tensor.dtype, tensor.shape});
    if (layout.bytes() != std::ssize(tensor.bytes))
      fail_input(path.string() + ": tensor " + tensor.name, "{} bytes given, shape and type need {}",
                 tensor.bytes.size(), layout.bytes());
  }
  SafetensorsWriter file(path, layouts, metadata);
  for (const auto& tensor : tensors) file.write(tensor.bytes);
  file.commit();
}

}  // namespace nearplane
