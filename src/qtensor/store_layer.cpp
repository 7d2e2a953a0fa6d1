#include "qtensor/store_layer.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"

namespace nearplane {
namespace {

constexpr std::int64_t kMaxExtent = std::int64_t{1} << 31;

struct Piece {
  const char* suffix;
  DType dtype;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
  bool absent = false;
};

std::vector<Piece> pieces_of(const IntegerTensor& t) {
  return {{".codes", DType::u8, {t.rows, t.row_bytes()}, t.codes},
          {".scales", DType::f16, {t.rows, t.groups()}, std::as_bytes(std::span(t.scales))},
          {".zeros", DType::u8, {t.rows, t.zero_row_bytes()}, t.zeros, t.symmetric}};
}

std::vector<Piece> pieces_of(const CodedTensor& t) {
  const auto& levels = t.levels->bytes();
  return {{".levels", DType::u8, {std::ssize(levels)}, levels},
          {".step", DType::f32, {1}, std::as_bytes(std::span(&t.step, 1))},
          {".row_steps", DType::u8, {t.rows}, std::as_bytes(std::span(t.row_steps)), t.row_steps.empty()},
          {".column_steps", DType::u8, {t.cols}, std::as_bytes(std::span(t.column_steps)), t.column_steps.empty()}};
}

Json entry_of(const IntegerTensor& t) {
  return {{"kind", "integer"}, {"rows", t.rows},   {"cols", t.cols},
          {"bits", t.bits},    {"group", t.group}, {"symmetric", t.symmetric}};
}

Json entry_of(const CodedTensor& t) { return {{"kind", "coded"}, {"rows", t.rows}, {"cols", t.cols}}; }

template <class Tensor>
Tensor sized(const Json& entry, const std::string& where) {
  Tensor t;
  t.rows = json_get<std::int64_t>(entry, "rows", where);
  t.cols = json_get<std::int64_t>(entry, "cols", where);
  if (t.rows < 1 || t.cols < 1 || t.rows > kMaxExtent || t.cols > kMaxExtent)
    fail_input(where, "{} x {} weights: out of range", t.rows, t.cols);
  return t;
}

const StoredTensor* checked(const StoredTensor& tensor, const Piece& piece) {
  if (tensor.dtype == piece.dtype && tensor.shape == piece.shape) return &tensor;
  if (piece.shape.size() == 1)
    fail_input(tensor.where(), "is not {} of {}", dtype_info(piece.dtype).name, piece.shape[0]);
  fail_input(tensor.where(), "is not {} of {} x {}", dtype_info(piece.dtype).name, piece.shape[0], piece.shape[1]);
}

void open_integer(const TensorFile& part, const std::string& name, const Json& entry, StoredLayer& out) {
  auto t = sized<IntegerTensor>(entry, out.where);
  t.bits = json_get<int>(entry, "bits", out.where);
  t.group = json_get<std::int64_t>(entry, "group", out.where);
  t.symmetric = json_get<bool>(entry, "symmetric", out.where);
  if (t.bits < 2 || t.bits > 8 || t.group < 1 || t.group > t.cols)
    fail_input(out.where, "{} x {} weights, {} bits, groups of {}: out of range", t.rows, t.cols, t.bits, t.group);
  for (const auto& piece : pieces_of(t))
    out.pieces.push_back(piece.absent ? nullptr : checked(part.get(name + piece.suffix), piece));
  out.layout = std::move(t);
}

void open_coded(const TensorFile& part, const std::string& name, const Json& entry, StoredLayer& out) {
  auto t = sized<CodedTensor>(entry, out.where);
  const auto& levels = part.get(name + ".levels");
  out.pieces = {checked(levels, {".levels", DType::u8, {std::ssize(levels.bytes)}, {}}),
                checked(part.get(name + ".step"), {".step", DType::f32, {1}, {}})};
  for (const auto& [suffix, extent] : {std::pair{".row_steps", t.rows}, {".column_steps", t.cols}}) {
    const auto* tensor = part.find(name + suffix);
    out.pieces.push_back(tensor == nullptr ? nullptr : checked(*tensor, {suffix, DType::u8, {extent}, {}}));
  }
  out.layout = std::move(t);
}

template <class T>
void copy_bytes(std::span<const std::byte> bytes, std::vector<T>& out) {
  out.resize(bytes.size() / sizeof(T));
  std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span(out)).begin());
}

using Bytes = std::vector<std::span<const std::byte>>;

void fill(const Bytes& bytes, const std::string&, IntegerTensor& t) {
  copy_bytes(bytes[0], t.codes), copy_bytes(bytes[1], t.scales), copy_bytes(bytes[2], t.zeros);
}

void fill(const Bytes& bytes, const std::string& where, CodedTensor& t) {
  std::copy(bytes[1].begin(), bytes[1].end(), std::as_writable_bytes(std::span(&t.step, 1)).begin());
  copy_bytes(bytes[2], t.row_steps), copy_bytes(bytes[3], t.column_steps);
  t.levels.emplace(std::vector(bytes[0].begin(), bytes[0].end()), column_classes(t.column_steps, t.cols), where);
}

}  // namespace

Json write_layer(const std::string& name, const QuantizedTensor& t, std::vector<TensorToWrite>& tensors) {
  auto entry = std::visit([](const auto& form) { return entry_of(form); }, t.form);
  std::string checksum;
  for (const auto& piece : std::visit([](const auto& form) { return pieces_of(form); }, t.form)) {
    checksum += hash64_hex(piece.bytes);
    if (!piece.absent) tensors.push_back({name + piece.suffix, piece.dtype, piece.shape, piece.bytes});
  }
  entry["checksum"] = checksum;
  return entry;
}

StoredLayer StoredLayer::open(const TensorFile& part, const std::string& name, const Json& entry) {
  StoredLayer out;
  out.where = part.path().string() + ": tensor " + name;
  const auto kind = json_get<std::string>(entry, "kind", out.where);
  out.checksum = json_get<std::string>(entry, "checksum", out.where);
  if (kind == "integer")
    open_integer(part, name, entry, out);
  else if (kind == "coded")
    open_coded(part, name, entry, out);
  else
    fail_unsupported(out.where, "is of kind '{}', which this version does not know", kind);
  return out;
}

QuantizedTensor StoredLayer::read() const {
  std::string have;
  Bytes bytes;
  for (const auto* piece : pieces) {
    bytes.push_back(piece ? piece->bytes : std::span<const std::byte>{});
    have += hash64_hex(bytes.back());
  }
  if (have != checksum) fail_input(where, "checksum differs: the file is damaged");
  auto out = layout;
  std::visit([&](auto& t) { fill(bytes, where, t); }, out.form);
  out.validate(where);
  return out;
}

}  // namespace nearplane
