// Reading GGUF version 2 and 3: magic, counts, key-value metadata, tensor infos, aligned data. Every length is checked
// against what is left of the file before memory is spent on it.
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "container/tensor_file.h"

namespace nearplane {
namespace {

enum class ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

struct GgmlType {
  std::uint32_t id;
  DType dtype;
};
constexpr std::array kTypes{GgmlType{0, DType::f32},  GgmlType{1, DType::f16},  GgmlType{2, DType::q4_0},
                            GgmlType{3, DType::q4_1}, GgmlType{8, DType::q8_0}, GgmlType{24, DType::i8},
                            GgmlType{25, DType::i16}, GgmlType{26, DType::i32}, GgmlType{27, DType::i64},
                            GgmlType{28, DType::f64}, GgmlType{30, DType::bf16}};

bool is_utf8(std::string_view s) {
  for (std::size_t i = 0; i < s.size();) {
    const auto c = static_cast<unsigned char>(s[i]);
    const int more = c < 0x80                ? 0
                     : c >= 0xc2 && c < 0xe0 ? 1
                     : c >= 0xe0 && c < 0xf0 ? 2
                     : c >= 0xf0 && c < 0xf5 ? 3
                                             : -1;
    if (more < 0 || i + static_cast<std::size_t>(more) >= s.size() + (more == 0)) return false;
    for (int k = 1; k <= more; ++k)
      if ((static_cast<unsigned char>(s[i + static_cast<std::size_t>(k)]) & 0xc0) != 0x80) return false;
    const auto second = more > 0 ? static_cast<unsigned char>(s[i + 1]) : 0;
    if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second >= 0xa0) || (c == 0xf0 && second < 0x90) ||
        (c == 0xf4 && second >= 0x90))
      return false;
    i += static_cast<std::size_t>(more) + 1;
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
        return read<std::uint8_t>(what) != 0;
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
  std::size_t at() const { return at_; }
  std::size_t left() const { return bytes_.size() - at_; }
  const std::string& file() const { return file_; }

 private:
  void need(std::uint64_t count, const std::string& what) const {
    if (count > left()) fail_input(file_, "{} needs {} bytes at {}, only {} are left", what, count, at_, left());
  }
  Json array(const std::string& what) {
    const auto type = static_cast<ValueType>(read<std::uint32_t>(what));
    if (type == ValueType::array) fail_unsupported(file_, "{} is an array of arrays", what);
    const auto count = read<std::uint64_t>(what);
    if (count > left()) fail_input(file_, "{} claims {} elements in {} bytes", what, count, left());
    Json list = Json::array();
    for (std::uint64_t i = 0; i < count; ++i) list.push_back(value(type, what));
    return list;
  }

  std::span<const std::byte> bytes_;
  std::string file_;
  std::size_t at_ = 0;
};

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
      fail_input(where, "shape overflows");
    tensor.shape[dims - 1 - d] = static_cast<std::int64_t>(extent);
  }
  const auto id = reader.read<std::uint32_t>(where);
  const auto* type = std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& t) { return t.id == id; });
  if (type == kTypes.end())
    fail_unsupported(where, "ggml type {} is not read (F32, F16, BF16, Q4_0, Q4_1, Q8_0 are)", id);
  tensor.dtype = type->dtype;
  const auto& d = dtype_info(tensor.dtype);
  if (tensor.shape.back() % d.block != 0)
    fail_input(where, "rows of {} are not whole blocks of {}", tensor.shape.back(), d.block);
  if (elements / d.block > std::numeric_limits<std::int64_t>::max() / d.block_bytes)
    fail_input(where, "size overflows");
  info.offset = reader.read<std::uint64_t>(where);
  return info;
}

std::uint64_t alignment_of(const Json& metadata, const std::string& file) {
  const auto alignment = json_find<std::uint64_t>(metadata, "general.alignment", file).value_or(32);
  if (alignment < 8 || alignment > 1 << 20 || !std::has_single_bit(alignment))
    fail_input(file, "general.alignment of {} is no power of two in range", alignment);
  return alignment;
}

}  // namespace

TensorFile open_gguf(const std::filesystem::path& path) {
  TensorFile out;
  out.path_ = path;
  auto mapped = std::make_shared<MappedFile>(path);
  const auto file = path.string();
  Reader reader(mapped->bytes(), file);
  if (reader.read<std::uint32_t>("the magic number") != 0x46554747) fail_input(file, "is not a GGUF file");
  const auto version = reader.read<std::uint32_t>("the version");
  if (version != 2 && version != 3) fail_unsupported(file, "GGUF version {} is not read (2 and 3 are)", version);
  const auto tensor_count = reader.read<std::uint64_t>("the tensor count");
  const auto value_count = reader.read<std::uint64_t>("the metadata count");
  out.metadata_ = Json::object();
  for (std::uint64_t i = 0; i < value_count; ++i) {
    const auto key = reader.string("a metadata key");
    const auto type = static_cast<ValueType>(reader.read<std::uint32_t>("metadata '" + key + "'"));
    if (out.metadata_.contains(key)) fail_input(file, "metadata '{}' occurs twice", key);
    out.metadata_[key] = reader.value(type, "metadata '" + key + "'");
  }
  std::vector<TensorInfo> infos;
  for (std::uint64_t i = 0; i < tensor_count; ++i) infos.push_back(read_tensor_info(reader));

  const auto alignment = alignment_of(out.metadata_, file);
  const auto padded = [&](std::uint64_t n) { return (n + alignment - 1) / alignment * alignment; };
  const auto data_start = padded(reader.at());
  std::uint64_t expected = 0;
  for (auto& [tensor, offset] : infos) {
    const auto bytes = static_cast<std::uint64_t>(dtype_bytes(tensor.dtype, tensor.elements()));
    if (offset != expected) fail_input(tensor.where(), "starts at {} of the data instead of {}", offset, expected);
    if (data_start + offset > mapped->bytes().size() || bytes > mapped->bytes().size() - data_start - offset)
      fail_input(tensor.where(), "needs {} bytes at {}, the file has {}", bytes, data_start + offset,
                 mapped->bytes().size());
    tensor.bytes = mapped->bytes().subspan(data_start + offset, bytes);
    expected = padded(offset + bytes);
    if (!out.index_.emplace(tensor.name, out.tensors_.size()).second) fail_input(tensor.where(), "occurs twice");
    out.tensors_.push_back(std::move(tensor));
  }
  out.files_.push_back(std::move(mapped));
  return out;
}

}  // namespace nearplane
