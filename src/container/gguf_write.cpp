#include "container/gguf_write.h"

#include <algorithm>
#include <cassert>

#include "base/check.h"

namespace nearplane {
namespace {

constexpr std::uint32_t kMagic = 0x46554747, kVersion = 3;
constexpr std::size_t kAlignment = 32;  // the default: not written as metadata
constexpr std::size_t kLongestName = 63;

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void append_string(std::string& out, std::string_view text) {
  append<std::uint64_t>(out, text.size());
  out += text;
}

std::uint64_t padded(std::uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::uint32_t type_id(const TensorLayout& tensor, const std::string& where) {
  const auto* type = std::ranges::find(kGgmlTypes, tensor.dtype, &GgmlType::dtype);
  if (type == kGgmlTypes.end()) fail_input(where, "element type {} has no GGUF form", dtype_info(tensor.dtype).name);
  return type->id;
}

}  // namespace

void GgufMetadata::add(std::string_view key, GgufType type) {
  const bool fresh = keys_.emplace(key).second;
  assert(fresh);
  static_cast<void>(fresh);
  append_string(bytes_, key);
  append(bytes_, type);
}

void GgufMetadata::add_array(std::string_view key, GgufType type, std::size_t count) {
  add(key, GgufType::array);
  append(bytes_, type);
  append<std::uint64_t>(bytes_, count);
}

void GgufMetadata::u32(std::string_view key, std::uint32_t value) { add(key, GgufType::u32), append(bytes_, value); }
void GgufMetadata::f32(std::string_view key, float value) { add(key, GgufType::f32), append(bytes_, value); }
void GgufMetadata::boolean(std::string_view key, bool value) {
  add(key, GgufType::boolean), append<std::uint8_t>(bytes_, value);
}
void GgufMetadata::string(std::string_view key, std::string_view value) {
  add(key, GgufType::string), append_string(bytes_, value);
}
void GgufMetadata::strings(std::string_view key, std::span<const std::string> values) {
  add_array(key, GgufType::string, values.size());
  for (const auto& value : values) append_string(bytes_, value);
}
void GgufMetadata::i32s(std::string_view key, std::span<const std::int32_t> values) {
  add_array(key, GgufType::i32, values.size());
  for (const auto value : values) append(bytes_, value);
}

GgufWriter::GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata,
                       std::span<const TensorLayout> tensors)
    : file_(path) {
  std::string head;
  append(head, kMagic);
  append(head, kVersion);
  append<std::uint64_t>(head, tensors.size());
  append<std::uint64_t>(head, metadata.keys_.size());
  head += metadata.bytes_;
  std::set<std::string> names;
  std::uint64_t offset = 0;
  for (const auto& tensor : tensors) {
    const auto where = path.string() + ": tensor " + tensor.name;
    if (tensor.name.size() > kLongestName) fail_input(where, "names are at most {} bytes long", kLongestName);
    if (!names.insert(tensor.name).second) fail_input(where, "occurs twice");
    const auto& info = dtype_info(tensor.dtype);
    if (tensor.shape.empty() || tensor.shape.back() % info.block != 0)
      fail_input(where, "its rows are not whole blocks of {}", info.block);
    append_string(head, tensor.name);
    append(head, static_cast<std::uint32_t>(tensor.shape.size()));
    for (auto d = tensor.shape.rbegin(); d != tensor.shape.rend(); ++d) append(head, static_cast<std::uint64_t>(*d));
    append(head, type_id(tensor, where));
    append(head, offset);
    sizes_.push_back(tensor.bytes());
    offset = padded(offset + static_cast<std::uint64_t>(tensor.bytes()));
  }
  head.resize(padded(head.size()));
  file_.write(head);
  begin_tensor();
}

// Tensors without elements have nothing to wait for.
void GgufWriter::begin_tensor() {
  while (tensor_ < sizes_.size() && sizes_[tensor_] == 0) ++tensor_;
  missing_ = tensor_ < sizes_.size() ? sizes_[tensor_] : 0;
}

void GgufWriter::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  missing_ -= std::ssize(bytes);
  assert(missing_ >= 0);
  file_.write(bytes);
  if (missing_ > 0) return;
  const auto size = static_cast<std::uint64_t>(sizes_[tensor_]);
  file_.write(std::string(padded(size) - size, '\0'));
  ++tensor_;
  begin_tensor();
}

void GgufWriter::commit() {
  assert(tensor_ == sizes_.size());
  file_.commit();
}

}  // namespace nearplane
