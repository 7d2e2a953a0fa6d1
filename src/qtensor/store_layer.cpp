#include "qtensor/store_layer.h"

#include <algorithm>

#include "base/check.h"
#include "base/hash.h"
#include "codec/pack.h"
#include "tensor/ggml_block.h"

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

std::vector<Piece> pieces_of(const SparseTensor& t) {
  const auto &counts = t.overflow->counts(), &entries = t.overflow->entries();
  const auto kept = std::ssize(t.kept_columns);
  return {{".codes", DType::u8, {t.rows, t.row_bytes()}, t.codes},
          {".scales", DType::f16, {t.rows, t.groups()}, std::as_bytes(std::span(t.scales))},
          {".counts", DType::u8, {std::ssize(counts)}, counts, counts.empty()},
          {".entries", DType::u8, {std::ssize(entries)}, entries, entries.empty()},
          {".kept_columns", DType::i32, {kept}, std::as_bytes(std::span(t.kept_columns)), kept == 0},
          {".kept", DType::f16, {t.rows, kept}, std::as_bytes(std::span(t.kept)), kept == 0}};
}

Json entry_of(const IntegerTensor& t) {
  return {{"kind", "integer"}, {"rows", t.rows},   {"cols", t.cols},
          {"bits", t.bits},    {"group", t.group}, {"symmetric", t.symmetric}};
}

std::vector<Piece> pieces_of(const RotatedTensor& t) {
  return {{".codes", DType::u8, {t.rows, packed_row_bytes(t.cols, t.bits)}, t.codes},
          {".step", DType::f32, {1}, std::as_bytes(std::span(&t.step, 1))},
          {".seed", DType::i64, {1}, std::as_bytes(std::span(&t.seed, 1))}};
}

std::vector<Piece> pieces_of(const SplitTensor& t) {
  const auto& gaps = t.gaps->bytes();
  return {{".codes", DType::u8, {t.rows, packed_row_bytes(t.cols, t.bits)}, t.codes},
          {".scales", DType::f16, {t.rows, 3}, std::as_bytes(std::span(t.scales))},
          {".gaps", DType::u8, {std::ssize(gaps)}, gaps}};
}

std::vector<Piece> pieces_of(const OutlierTensor& t) {
  const auto scale_bytes = packed_row_bytes(t.groups(), kScaleBits);
  return {{".codes", DType::u8, {t.rows, packed_row_bytes(t.cols, t.bits)}, t.codes},
          {".step_codes", DType::u8, {t.rows, scale_bytes}, t.step_codes},
          {".zero_codes", DType::u8, {t.rows, scale_bytes}, t.zero_codes},
          {".supers", DType::f16, {t.super_rows(), 4 * t.groups()}, std::as_bytes(std::span(t.supers))},
          {".starts", DType::i32, {t.rows + 1}, std::as_bytes(std::span(t.starts))},
          {".columns", DType::u8, {2 * std::ssize(t.columns)}, std::as_bytes(std::span(t.columns))},
          {".values", DType::f16, {std::ssize(t.values)}, std::as_bytes(std::span(t.values))}};
}

std::vector<Piece> pieces_of(const BlockTensor& t) {
  return {{".blocks", DType::u8, {t.rows, t.row_bytes()}, t.blocks}};
}

Json entry_of(const BlockTensor& t) {
  return {{"kind", "blocks"}, {"rows", t.rows}, {"cols", t.cols}, {"type", dtype_info(t.type).name}};
}

Json entry_of(const OutlierTensor& t) {
  return {{"kind", "outlier"}, {"rows", t.rows}, {"cols", t.cols}, {"bits", t.bits}, {"group", t.group}};
}

Json entry_of(const SplitTensor& t) {
  return {{"kind", "split"}, {"rows", t.rows}, {"cols", t.cols}, {"bits", t.bits}, {"outliers", t.outliers}};
}

Json entry_of(const RotatedTensor& t) {
  return {{"kind", "rotated"}, {"rows", t.rows}, {"cols", t.cols}, {"bits", t.bits}};
}

Json entry_of(const CodedTensor& t) { return {{"kind", "coded"}, {"rows", t.rows}, {"cols", t.cols}}; }

Json entry_of(const SparseTensor& t) {
  const auto& l = t.overflow->layout();
  return {{"kind", "sparse"},
          {"rows", t.rows},
          {"cols", t.cols},
          {"bits", t.bits},
          {"group", t.group},
          {"gap_bits", l.gap_bits},
          {"delta_bits", l.delta_bits},
          {"count_bits", l.count_bits}};
}

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

void open_rotated(const TensorFile& part, const std::string& name, const Json& entry, StoredLayer& out) {
  auto t = sized<RotatedTensor>(entry, out.where);
  t.bits = json_get<int>(entry, "bits", out.where);
  if (t.bits < 2 || t.bits > 8) fail_input(out.where, "{} bits are outside 2 to 8", t.bits);
  for (const auto& piece : pieces_of(t)) out.pieces.push_back(checked(part.get(name + piece.suffix), piece));
  out.layout = std::move(t);
}

void open_split(const TensorFile& part, const std::string& name, const Json& entry, StoredLayer& out) {
  auto t = sized<SplitTensor>(entry, out.where);
  t.bits = json_get<int>(entry, "bits", out.where);
  t.outliers = json_get<std::int64_t>(entry, "outliers", out.where);
  if (t.bits < 2 || t.bits > 8 || t.outliers < 0 || t.outliers > t.cols)
    fail_input(out.where, "{} bits, {} outliers in rows of {}: out of range", t.bits, t.outliers, t.cols);
  const auto& gaps = part.get(name + ".gaps");
  out.pieces = {
      checked(part.get(name + ".codes"), {".codes", DType::u8, {t.rows, packed_row_bytes(t.cols, t.bits)}, {}}),
      checked(part.get(name + ".scales"), {".scales", DType::f16, {t.rows, 3}, {}}),
      checked(gaps, {".gaps", DType::u8, {std::ssize(gaps.bytes)}, {}})};
  out.layout = std::move(t);
}

void open_outlier(const TensorFile& part, const std::string& name, const Json& entry, StoredLayer& out) {
  auto t = sized<OutlierTensor>(entry, out.where);
  t.bits = json_get<int>(entry, "bits", out.where);
  t.group = json_get<std::int64_t>(entry, "group", out.where);
  if (t.bits < 2 || t.bits > 8 || t.group < 1 || t.group > t.cols)
    fail_input(out.where, "{} bits, groups of {} in rows of {}: out of range", t.bits, t.group, t.cols);
  auto pieces = pieces_of(t);
  // As many kept weights as there are values; columns are as many, two bytes each.
  const auto& values = part.get(name + ".values");
  pieces[6].shape = {std::ssize(values.bytes) / 2}, pieces[5].shape = {std::ssize(values.bytes)};
  for (const auto& piece : pieces) out.pieces.push_back(checked(part.get(name + piece.suffix), piece));
  out.layout = std::move(t);
}

void open_sparse(const TensorFile& part, const std::string& name, const Json& entry, StoredLayer& out) {
  auto t = sized<SparseTensor>(entry, out.where);
  t.bits = json_get<int>(entry, "bits", out.where);
  t.group = json_get<std::int64_t>(entry, "group", out.where);
  if (t.bits < 2 || t.bits > 8 || t.group < 1 || t.group > t.cols)
    fail_input(out.where, "{} x {} weights, {} bits, groups of {}: out of range", t.rows, t.cols, t.bits, t.group);
  out.list = {.gap_bits = json_get<int>(entry, "gap_bits", out.where),
              .delta_bits = json_get<int>(entry, "delta_bits", out.where),
              .count_bits = json_get<int>(entry, "count_bits", out.where)};
  out.pieces = {checked(part.get(name + ".codes"), {".codes", DType::u8, {t.rows, t.row_bytes()}, {}}),
                checked(part.get(name + ".scales"), {".scales", DType::f16, {t.rows, t.groups()}, {}})};
  for (const auto* suffix : {".counts", ".entries"}) {
    const auto* tensor = part.find(name + suffix);
    out.pieces.push_back(tensor == nullptr ? nullptr
                                           : checked(*tensor, {suffix, DType::u8, {std::ssize(tensor->bytes)}, {}}));
  }
  const auto *columns = part.find(name + ".kept_columns"), *kept = part.find(name + ".kept");
  if ((columns == nullptr) != (kept == nullptr))
    fail_input(out.where, "has kept columns without weights or the reverse");
  if (columns != nullptr) {
    const auto count = std::ssize(columns->bytes) / 4;
    checked(*columns, {".kept_columns", DType::i32, {count}, {}});
    checked(*kept, {".kept", DType::f16, {t.rows, count}, {}});
  }
  out.pieces.insert(out.pieces.end(), {columns, kept});
  out.layout = std::move(t);
}

void open_blocks(const TensorFile& part, const std::string& name, const Json& entry, StoredLayer& out) {
  auto t = sized<BlockTensor>(entry, out.where);
  const auto type = json_get<std::string>(entry, "type", out.where);
  const auto known = dtype_from_name(type);
  if (!known || block_layout(*known) == nullptr)
    fail_unsupported(out.where, "is in blocks of type '{}', which this version does not know", type);
  t.type = *known;
  const auto block = dtype_info(t.type).block;
  if (t.cols % block != 0) fail_input(out.where, "rows of {} are not whole blocks of {}", t.cols, block);
  for (const auto& piece : pieces_of(t)) out.pieces.push_back(checked(part.get(name + piece.suffix), piece));
  out.layout = std::move(t);
}

template <class T>
void copy_bytes(std::span<const std::byte> bytes, std::vector<T>& out) {
  out.resize(bytes.size() / sizeof(T));
  std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span(out)).begin());
}

template <class T>
void copy_number(std::span<const std::byte> bytes, T& out) {
  std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span(&out, 1)).begin());
}

using Bytes = std::vector<std::span<const std::byte>>;

void fill(const Bytes& bytes, const StoredLayer&, IntegerTensor& t) {
  copy_bytes(bytes[0], t.codes), copy_bytes(bytes[1], t.scales), copy_bytes(bytes[2], t.zeros);
}

void fill(const Bytes& bytes, const StoredLayer& layer, CodedTensor& t) {
  copy_number(bytes[1], t.step);
  copy_bytes(bytes[2], t.row_steps), copy_bytes(bytes[3], t.column_steps);
  t.levels.emplace(std::vector(bytes[0].begin(), bytes[0].end()), column_classes(t.column_steps, t.cols), layer.where);
}

void fill(const Bytes& bytes, const StoredLayer& layer, SparseTensor& t) {
  copy_bytes(bytes[0], t.codes), copy_bytes(bytes[1], t.scales);
  copy_bytes(bytes[4], t.kept_columns), copy_bytes(bytes[5], t.kept);
  t.overflow.emplace(layer.list, t.rows, t.cols, std::vector(bytes[2].begin(), bytes[2].end()),
                     std::vector(bytes[3].begin(), bytes[3].end()), layer.where);
}

void fill(const Bytes& bytes, const StoredLayer&, RotatedTensor& t) {
  copy_bytes(bytes[0], t.codes), copy_number(bytes[1], t.step), copy_number(bytes[2], t.seed);
}

void fill(const Bytes& bytes, const StoredLayer& layer, SplitTensor& t) {
  copy_bytes(bytes[0], t.codes), copy_bytes(bytes[1], t.scales);
  t.gaps.emplace(std::vector(bytes[2].begin(), bytes[2].end()), t.rows, t.cols, t.outliers, layer.where);
}

void fill(const Bytes& bytes, const StoredLayer&, OutlierTensor& t) {
  copy_bytes(bytes[0], t.codes), copy_bytes(bytes[1], t.step_codes), copy_bytes(bytes[2], t.zero_codes);
  copy_bytes(bytes[3], t.supers), copy_bytes(bytes[4], t.starts);
  copy_bytes(bytes[5], t.columns), copy_bytes(bytes[6], t.values);
}

void fill(const Bytes& bytes, const StoredLayer&, BlockTensor& t) { copy_bytes(bytes[0], t.blocks); }

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
  else if (kind == "rotated")
    open_rotated(part, name, entry, out);
  else if (kind == "split")
    open_split(part, name, entry, out);
  else if (kind == "outlier")
    open_outlier(part, name, entry, out);
  else if (kind == "sparse")
    open_sparse(part, name, entry, out);
  else if (kind == "blocks")
    open_blocks(part, name, entry, out);
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
  std::visit([&](auto& t) { fill(bytes, *this, t); }, out.form);
  out.validate(where);
  return out;
}

}  // namespace nearplane
