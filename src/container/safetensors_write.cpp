// Writing safetensors: header with offsets first, then the bytes in order, atomically.
#include "base/atomic_file.h"
#include "base/check.h"
#include "container/tensor_file.h"

namespace nearplane {

void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::int64_t offset = 0;
  for (const auto& tensor : tensors) {
    const auto& info = dtype_info(tensor.dtype);
    const auto where = path.string() + ": tensor " + tensor.name;
    if (info.block != 1) fail_input(where, "element type {} has no safetensors form", info.name);
    std::int64_t count = 1;
    for (const auto extent : tensor.shape) count *= extent;
    if (dtype_bytes(tensor.dtype, count) != std::ssize(tensor.bytes))
      fail_input(where, "{} bytes given, shape and type need {}", tensor.bytes.size(),
                 dtype_bytes(tensor.dtype, count));
    const auto end = offset + std::ssize(tensor.bytes);
    if (header.contains(tensor.name)) fail_input(where, "occurs twice");
    header[tensor.name] = {{"dtype", info.name}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  auto text = header.dump();
  text.resize((8 + text.size() + 63) / 64 * 64 - 8, ' ');  // data starts aligned for SIMD
  const std::uint64_t length = text.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(text);
  for (const auto& tensor : tensors) file.write(tensor.bytes);
  file.commit();
}

}  // namespace nearplane
