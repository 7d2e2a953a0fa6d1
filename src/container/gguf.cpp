// Reading GGUF version 2 and 3: magic, counts, key-value metadata, tensor infos, aligned data. Every length is checked
// against what is left of the file before memory is spent on it.
// Source: docs/gguf.md of ggml-org/ggml.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "container/ggml_types.h"
#include "container/tensor_file.h"

namespace nearplane {
namespace {

using ValueType = GgufType;

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t length = first < 0x80   ? 1
                               : first < 0xc2 ? 0
                               : first < 0xe0 ? 2
                               : first < 0xf0 ? 3
                               : first < 0xf5 ? 4
                                              : 0;
    if (length == 0 || length > text.size() - i) return false;
    // The second byte's range rules out overlong forms, surrogates and code points beyond U+10FFFF.
    unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    for (std::size_t k = 1; k < length; ++k, low = 0x80, high = 0xbf)
      if (const auto c = static_cast<unsigned char>(text[i + k]); c < low || c > high) return false;
    i += length;
  }
  return true;
}

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}

  template <class T>
  T read(const std::string& what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  std::string string(const std::string& what) {
    const auto length = read<std::uint64_t>(what);
    need(length, what);
    std::string text(reinterpret_cast<const char*>(bytes_.data()) + at_, length);
    at_ += length;
    if (!is_utf8(text)) fail_input(file_, "{} is not valid UTF-8", what);
    return text;
  }
  Json value(ValueType type, const std::string& what) {
    switch (type) {
      case ValueType::u8:
        return read<std::uint8_t>(what);
      case ValueType::i8:
        return read<std::int8_t>(what);
      case ValueType::u16:
        return read<std::uint16_t>(what);
      case ValueType::i16:
        return read<std::int16_t>(what);
      case ValueType::u32:
        return read<std::uint32_t>(what);
      case ValueType::i32:
        return read<std::int32_t>(what);
      case ValueType::f32:
        return read<float>(what);
      case ValueType::boolean:
        return boolean(what);
      case ValueType::string:
        return string(what);
      case ValueType::array:
        return array(what);
      case ValueType::u64:
        return read<std::uint64_t>(what);
      case ValueType::i64:
        return read<std::int64_t>(what);
      case ValueType::f64:
        return read<double>(what);
    }
    fail_input(file_, "{} has unknown value type {}", what, static_cast<std::uint32_t>(type));
  }
  /// The number of things to come, each at least `least` bytes long: refused before memory is spent on them.
  std::uint64_t count(std::uint64_t least, const std::string& what) {
    const auto n = read<std::uint64_t>(what);
    if (n > left() / least) fail_input(file_, "{} counts {} entries, only {} bytes are left", what, n, left());
    return n;
  }
  std::size_t at() const { return at_; }
  const std::string& file() const { return file_; }

 private:
  std::size_t left() const { return bytes_.size() - at_; }
  void need(std::uint64_t count, const std::string& what) const {
    if (count > left()) fail_input(file_, "{} needs {} bytes at {}, only {} are left", what, count, at_, left());
  }
  bool boolean(const std::string& what) {
    const auto value = read<std::uint8_t>(what);
    if (value > 1) fail_input(file_, "{} is a boolean of value {}", what, value);
    return value == 1;
  }
  Json array(const std::string& what) {
    constexpr std::array<std::uint64_t, 13> kLeast{1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};  // bytes of an element
    const auto type = read<std::uint32_t>(what);
    if (type >= kLeast.size()) fail_input(file_, "{} is an array of unknown value type {}", what, type);
    if (static_cast<ValueType>(type) == ValueType::array) fail_unsupported(file_, "{} is an array of arrays", what);
    const auto n = count(kLeast[type], what);
    Json list = Json::array();
    list.get_ref<Json::array_t&>().reserve(n);
    for (std::uint64_t i = 0; i < n; ++i) list.push_back(value(static_cast<ValueType>(type), what));
    return list;
  }

  std::span<const std::byte> bytes_;
  std::string file_;
  std::size_t at_ = 0;
};

void check_head(Reader& reader) {
  if (reader.read<std::uint32_t>("the magic number") != 0x46554747) fail_input(reader.file(), "is not a GGUF file");
  const auto version = reader.read<std::uint32_t>("the version");
  if (version != 2 && version != 3)
    fail_unsupported(reader.file(), "GGUF version {} is not read (2 and 3 are)", version);
}

Json read_metadata(Reader& reader, std::uint64_t count) {
  Json metadata = Json::object();
  std::unordered_set<std::string> keys;  // looking for each key in the ordered object would be quadratic
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto key = reader.string("a metadata key");
    if (!keys.insert(key).second) fail_input(reader.file(), "metadata '{}' occurs twice", key);
    const auto what = "metadata '" + key + "'";
    const auto type = static_cast<ValueType>(reader.read<std::uint32_t>(what));
    metadata.get_ref<Json::object_t&>().emplace_back(key, reader.value(type, what));
  }
  return metadata;
}

struct TensorInfo {
  StoredTensor tensor;
  std::uint64_t offset = 0;
};

TensorInfo read_tensor_info(Reader& reader) {
  TensorInfo info;
  auto& tensor = info.tensor;
  tensor.file = reader.file();
  tensor.name = reader.string("a tensor name");
  const auto where = tensor.where();
  const auto dims = reader.read<std::uint32_t>(where);
  if (dims < 1 || dims > 4) fail_input(where, "has {} dimensions", dims);
  tensor.shape.resize(dims);
  std::int64_t elements = 1;
  for (std::uint32_t d = 0; d < dims; ++d) {
    const auto extent = reader.read<std::uint64_t>(where);
    if (!std::in_range<std::int64_t>(extent) ||
        __builtin_mul_overflow(elements, static_cast<std::int64_t>(extent), &elements))
      fail_input(where, "dimension {} of {} overflows the number of elements", d, extent);
    tensor.shape[dims - 1 - d] = static_cast<std::int64_t>(extent);
  }
  const auto id = reader.read<std::uint32_t>(where);
  const auto* type = std::find_if(kGgmlTypes.begin(), kGgmlTypes.end(), [&](const auto& t) { return t.id == id; });
  if (type == kGgmlTypes.end())
    fail_unsupported(
        where, "ggml type {} is not read (F32, F16, BF16, Q4_0, Q4_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS are)", id);
  tensor.dtype = type->dtype;
  const auto& d = dtype_info(tensor.dtype);
  if (tensor.shape.back() % d.block != 0)
    fail_input(where, "rows of {} are not whole blocks of {}", tensor.shape.back(), d.block);
  if (elements / d.block > std::numeric_limits<std::int64_t>::max() / d.block_bytes)
    fail_input(where, "{} elements of {} overflow the number of bytes", elements, d.name);
  info.offset = reader.read<std::uint64_t>(where);
  return info;
}

std::uint64_t alignment_of(const Json& metadata, const std::string& file) {
  const auto alignment = json_find<std::uint64_t>(metadata, "general.alignment", file).value_or(32);
  if (alignment < 8 || alignment > 1 << 20 || !std::has_single_bit(alignment))
    fail_input(file, "general.alignment of {} is no power of two in range", alignment);
  return alignment;
}

// Gives every tensor its bytes. The format allows no freedom: each starts where the padded one before it ends.
void place(std::vector<TensorInfo>& infos, std::span<const std::byte> file, std::uint64_t head,
           std::uint64_t alignment) {
  const auto padded = [&](std::uint64_t n) { return (n + alignment - 1) / alignment * alignment; };
  const auto start = padded(head);
  std::uint64_t expected = 0;
  for (auto& [tensor, offset] : infos) {
    const auto bytes = static_cast<std::uint64_t>(dtype_bytes(tensor.dtype, tensor.elements()));
    if (offset != expected) fail_input(tensor.where(), "starts at {} of the data instead of {}", offset, expected);
    if (start + offset > file.size() || bytes > file.size() - start - offset)
      fail_input(tensor.where(), "needs {} bytes at {}, the file has {}", bytes, start + offset, file.size());
    tensor.bytes = file.subspan(start + offset, bytes);
    expected = padded(offset + bytes);
  }
}

}  // namespace

TensorFile open_gguf(const std::filesystem::path& path) {
  auto mapped = std::make_shared<MappedFile>(path);
  Reader reader(mapped->bytes(), path.string());
  check_head(reader);
  const auto tensor_count = reader.count(24, "the tensor count");
  const auto metadata_count = reader.count(13, "the metadata count");
  TensorFile out;
  out.path_ = path;
  out.metadata_ = read_metadata(reader, metadata_count);
  std::vector<TensorInfo> infos;
  for (std::uint64_t i = 0; i < tensor_count; ++i) infos.push_back(read_tensor_info(reader));
  place(infos, mapped->bytes(), reader.at(), alignment_of(out.metadata_, reader.file()));
  for (auto& info : infos) {
    if (!out.index_.emplace(info.tensor.name, out.tensors_.size()).second)
      fail_input(info.tensor.where(), "occurs twice");
    out.tensors_.push_back(std::move(info.tensor));
  }
  out.files_.push_back(std::move(mapped));
  return out;
}

}  // namespace nearplane
