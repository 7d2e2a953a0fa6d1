#include "exporter/unpack.h"

#include <cstring>

#include "base/check.h"
#include "base/threads.h"

namespace nearplane {
namespace {

constexpr std::int64_t kRowsPerTask = 64;

template <class T>
T element(const StoredTensor& tensor, std::int64_t i) {
  T value;
  std::memcpy(&value, tensor.bytes.data() + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// Numbers of a few bits in a matrix of 32-bit words: one stream along each row, or one down each column.
struct Streams {
  const StoredTensor& words;
  bool down;
  int bits;

  std::uint32_t at(std::int64_t stream, std::int64_t k) const {
    const auto bit = k * bits;
    std::uint64_t two = word(stream, bit / 32);
    if (bit % 32 + bits > 32) two |= static_cast<std::uint64_t>(word(stream, bit / 32 + 1)) << 32;
    return static_cast<std::uint32_t>(two >> (bit % 32)) & ((1u << bits) - 1);
  }

 private:
  std::uint32_t word(std::int64_t stream, std::int64_t w) const {
    const auto width = words.shape[1];
    return element<std::uint32_t>(words, down ? w * width + stream : stream * width + w);
  }
};

const StoredTensor& expect(const TensorFile& file, const std::string& name, DType dtype,
                           const std::vector<std::int64_t>& shape) {
  const auto& tensor = file.get(name);
  if (tensor.dtype != dtype || tensor.shape != shape)
    fail_input(tensor.where(), "is {} of shape {} instead of {} of {}", dtype_info(tensor.dtype).name,
               Json(tensor.shape).dump(), dtype_info(dtype).name, Json(shape).dump());
  return tensor;
}

std::int64_t words_for(std::int64_t count, int bits) { return (count * bits + 31) / 32; }

Unpacked sized(std::int64_t rows, std::int64_t cols, std::int64_t group) {
  const auto groups = (cols + group - 1) / group;
  Unpacked out;
  out.group = group;
  out.codes = Matrix<std::uint8_t>::uninitialized(rows, cols);
  out.scales = Matrix<std::uint16_t>::uninitialized(rows, groups);
  out.zeros = Matrix<std::uint8_t>::uninitialized(rows, groups);
  return out;
}

// element(r, c) for all of `out`; tiles keep both the rows of `out` and transposed words in the cache.
template <class T, class F>
void fill(Matrix<T>& out, const F& element) {
  parallel_for((out.rows() + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    const auto r0 = task * kRowsPerTask, r1 = std::min(r0 + kRowsPerTask, out.rows());
    for (std::int64_t c = 0; c < out.cols(); ++c)
      for (auto r = r0; r < r1; ++r) out(r, c) = static_cast<T>(element(r, c));
  });
}

const Json& object_at(const Json& object, const char* key, const std::string& where) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_object()) fail_input(where, "key '{}' is missing or not an object", key);
  return *it;
}

int bits_in(const Json& object, const char* key, const std::string& where) {
  const auto bits = json_get<int>(object, key, where);
  if (bits < 2 || bits > 8) fail_input(where, "{} is {}, not 2 to 8", key, bits);
  return bits;
}

std::int64_t group_in(const Json& object, std::int64_t cols, const std::string& where) {
  const auto group = json_get<std::int64_t>(object, "group_size", where);
  if (group < 1 || group > cols) fail_input(where, "groups of {} in rows of {}", group, cols);
  return group;
}

}  // namespace

Unpacked unpack_gptq(const TensorFile& file, const Json& config, const std::string& layer) {
  const auto where = file.path().string() + ": quantization_config";
  const auto format = json_get<std::string>(config, "checkpoint_format", where);
  if (format != "gptq") fail_unsupported(where, "checkpoint_format '{}' is not known (gptq is)", format);
  const int bits = bits_in(config, "bits", where);
  const auto& group_of = file.get(layer + ".g_idx");
  const auto& scales = file.get(layer + ".scales");
  const auto cols = group_of.elements(), rows = scales.shape.empty() ? 0 : scales.shape.back();
  const bool whole = json_get<std::int64_t>(config, "group_size", where) == -1;
  const auto group = whole ? cols : group_in(config, cols, where), groups = (cols + group - 1) / group;
  expect(file, layer + ".g_idx", DType::i32, {cols});
  expect(file, layer + ".scales", DType::f16, {groups, rows});
  const auto& qweight = expect(file, layer + ".qweight", DType::i32, {words_for(cols, bits), rows});
  const auto& qzeros = expect(file, layer + ".qzeros", DType::i32, {groups, words_for(rows, bits)});
  for (std::int64_t j = 0; j < cols; ++j)
    if (element<std::int32_t>(group_of, j) != j / group)
      fail_unsupported(group_of.where(), "column {} is in group {}: groups that are not contiguous are not known", j,
                       element<std::int32_t>(group_of, j));
  auto out = sized(rows, cols, group);
  const Streams codes{qweight, true, bits}, zeros{qzeros, false, bits};
  fill(out.codes, [&](auto r, auto c) { return codes.at(r, c); });
  fill(out.zeros, [&](auto r, auto g) { return zeros.at(g, r) + 1; });
  fill(out.scales, [&](auto r, auto g) { return element<std::uint16_t>(scales, g * rows + r); });
  return out;
}

Unpacked unpack_compressed_tensors(const TensorFile& file, const Json& config, const std::string& layer) {
  const auto where = file.path().string() + ": quantization_config";
  const auto format = json_get<std::string>(config, "format", where);
  if (format != "pack-quantized") fail_unsupported(where, "format '{}' is not known (pack-quantized is)", format);
  const auto& weights =
      object_at(object_at(object_at(config, "config_groups", where), "group_0", where), "weights", where);
  const int bits = bits_in(weights, "num_bits", where);
  const auto& shape = expect(file, layer + ".weight_shape", DType::i64, {2});
  const auto rows = element<std::int64_t>(shape, 0), cols = element<std::int64_t>(shape, 1);
  const bool whole = json_get<std::string>(weights, "strategy", where) == "channel";
  const auto group = whole ? cols : group_in(weights, cols, where), groups = (cols + group - 1) / group;
  const auto& packed = expect(file, layer + ".weight_packed", DType::i32, {rows, words_for(cols, bits)});
  const auto& scales = expect(file, layer + ".weight_scale", DType::f16, {rows, groups});
  auto out = sized(rows, cols, group);
  const Streams codes{packed, false, bits};
  fill(out.codes, [&](auto r, auto c) { return codes.at(r, c); });
  fill(out.scales, [&](auto r, auto g) { return element<std::uint16_t>(scales, r * groups + g); });
  if (json_get<bool>(weights, "symmetric", where)) {
    std::fill_n(out.zeros.data(), out.zeros.size(), static_cast<std::uint8_t>(1 << (bits - 1)));
  } else {
    const auto& zero = expect(file, layer + ".weight_zero_point", DType::i32, {words_for(rows, bits), groups});
    const Streams zeros{zero, true, bits};
    fill(out.zeros, [&](auto r, auto g) { return zeros.at(g, r); });
  }
  return out;
}

}  // namespace nearplane
