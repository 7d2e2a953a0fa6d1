#include "exporter/unpack.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/threads.h"
#include "tensor/decode.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr std::int64_t kRowsPerTask = 64;

template <class T>
T element(const StoredTensor& tensor, std::int64_t i) {
  T value;
  std::memcpy(&value, tensor.bytes.data() + i * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  return value;
}

// Numbers of a few bits in a matrix of 32-bit words: one stream along each row, or one down each column. Numbers of a
// bit stream lie back to back; in `loose` words there are only whole ones.
struct Streams {
  const StoredTensor& words;
  bool down;
  int bits;
  bool loose = false;

  std::uint32_t at(std::int64_t stream, std::int64_t k) const {
    const auto per_word = 32 / bits;
    const auto bit = loose ? k / per_word * 32 + k % per_word * bits : k * bits;
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
std::int64_t loose_words_for(std::int64_t count, int bits) { return (count + 32 / bits - 1) / (32 / bits); }

Unpacked sized(std::int64_t rows, std::int64_t cols, int bits, std::int64_t group) {
  const auto groups = (cols + group - 1) / group;
  Unpacked out;
  out.bits = bits;
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

std::int64_t group_of(const ExportGrid& grid, std::int64_t cols, const std::string& where) {
  if (cols < 1 || grid.group > cols) fail_input(where, "groups of {} in rows of {}", grid.group, cols);
  return grid.group > 0 ? grid.group : cols;
}

const StoredTensor& floats(const TensorFile& file, const std::string& name, const std::vector<std::int64_t>& shape) {
  const auto& tensor = file.get(name);
  return expect(file, name, dtype_info(tensor.dtype).floating ? tensor.dtype : DType::f16, shape);
}

// Scale i as f16: what every grid here is made of.
std::uint16_t scale_at(const StoredTensor& scales, std::int64_t i) {
  if (scales.dtype == DType::f16) return element<std::uint16_t>(scales, i);
  float value = 0;
  decode_f32(scales.dtype, scales.bytes.data() + dtype_bytes(scales.dtype, i), 1, &value);
  const auto half = f32_to_f16(value);
  if (f16_to_f32(half) != value)
    fail_unsupported(scales.where(), "scale {} is {}, which is no float16 number", i, value);
  return half;
}

// Groups are runs of columns in order.
void expect_in_order(const StoredTensor& group_of, std::int64_t group) {
  const auto cols = group_of.elements(), groups = (cols + group - 1) / group;
  for (std::int64_t j = 0; j < cols; ++j) {
    const auto g = element<std::int32_t>(group_of, j);
    if (g < 0 || g >= groups) fail_input(group_of.where(), "column {} is in group {} of {}", j, g, groups);
    if (g != j / group)
      fail_unsupported(group_of.where(), "column {} is in group {}: groups that are not contiguous are not known", j,
                       g);
  }
}

struct Sizes {
  std::int64_t rows, cols;
};

Sizes gptq_sizes(const TensorFile& file, const std::string& layer) {
  const auto& scales = file.get(layer + ".scales");
  if (scales.shape.size() != 2) fail_input(scales.where(), "is not a matrix");
  return {scales.shape[1], file.get(layer + ".g_idx").elements()};
}

Unpacked unpack_gptq(const TensorFile& file, const PackedConfig& config, const std::string& layer) {
  const auto grid = config.grid(layer);
  const auto bits = grid.bits;
  const auto [rows, cols] = gptq_sizes(file, layer);
  const auto group = group_of(grid, cols, config.where()), groups = (cols + group - 1) / group;
  const auto& columns = expect(file, layer + ".g_idx", DType::i32, {cols});
  const auto& scales = floats(file, layer + ".scales", {groups, rows});
  const auto& qweight = expect(file, layer + ".qweight", DType::i32, {words_for(cols, bits), rows});
  const auto& qzeros = expect(file, layer + ".qzeros", DType::i32, {groups, words_for(rows, bits)});
  expect_in_order(columns, group);
  auto out = sized(rows, cols, bits, group);
  const Streams codes{qweight, true, bits}, zeros{qzeros, false, bits};
  fill(out.codes, [&](auto r, auto c) { return codes.at(r, c); });
  const std::uint32_t less = config.kind() == PackedConfig::Kind::gptq ? 1 : 0, end = 1u << bits;
  fill(out.zeros, [&](auto r, auto g) {
    const auto zero = zeros.at(g, r) + less;
    if (zero == end)
      fail_unsupported(qzeros.where(),
                       "the zero point of output {}, group {} is stored as {}: readers disagree "
                       "whether that is {} or 0",
                       r, g, zero - 1, zero);
    return zero;
  });
  fill(out.scales, [&](auto r, auto g) { return scale_at(scales, g * rows + r); });
  const auto wrong = end / 2 + (less == 1 ? 1 : -1);  // what the other version's symmetric zero points look like here
  if (grid.symmetric && std::ranges::all_of(out.zeros.span(), [&](auto z) { return z == wrong; }))
    fail_input(qzeros.where(), "all zero points are those of checkpoint_format '{}', the config says '{}'",
               less == 1 ? "gptq_v2" : "gptq", less == 1 ? "gptq" : "gptq_v2");
  return out;
}

Sizes compressed_sizes(const TensorFile& file, const std::string& layer) {
  const auto name = layer + ".weight_shape";
  const auto& shape = expect(file, name, file.get(name).dtype == DType::i32 ? DType::i32 : DType::i64, {2});
  const auto at = [&](std::int64_t i) {
    return shape.dtype == DType::i32 ? element<std::int32_t>(shape, i) : element<std::int64_t>(shape, i);
  };
  const Sizes sizes{at(0), at(1)};
  constexpr std::int64_t kLimit = 1 << 24;  // products of two stay exact
  if (sizes.rows < 1 || sizes.cols < 1 || sizes.rows > kLimit || sizes.cols > kLimit)
    fail_input(shape.where(), "says {} x {}", sizes.rows, sizes.cols);
  return sizes;
}

// Streams of `count` numbers; before version 0.18, words had only whole ones.
Streams compressed_streams(const TensorFile& file, const std::string& name, std::int64_t streams, std::int64_t count,
                           int bits, bool down) {
  const auto& tensor = file.get(name);
  const auto shape = [&](std::int64_t words) {
    return down ? std::vector{words, streams} : std::vector{streams, words};
  };
  const auto loose = loose_words_for(count, bits);
  if (loose != words_for(count, bits) && tensor.shape == shape(loose))
    return {expect(file, name, DType::i32, shape(loose)), down, bits, true};
  return {expect(file, name, DType::i32, shape(words_for(count, bits))), down, bits};
}

Unpacked unpack_compressed_tensors(const TensorFile& file, const PackedConfig& config, const std::string& layer) {
  const auto grid = config.grid(layer);
  const auto bits = grid.bits;
  const auto [rows, cols] = compressed_sizes(file, layer);
  const auto group = group_of(grid, cols, config.where()), groups = (cols + group - 1) / group;
  const auto codes = compressed_streams(file, layer + ".weight_packed", rows, cols, bits, false);
  const auto& scales = floats(file, layer + ".weight_scale", {rows, groups});
  if (const auto* columns = file.find(layer + ".weight_g_idx"); columns && columns->elements() > 0) {
    expect(file, columns->name, DType::i32, {cols});
    if (element<std::int32_t>(*columns, 0) != -1) expect_in_order(*columns, group);  // -1: not set
  }
  auto out = sized(rows, cols, bits, group);
  fill(out.codes, [&](auto r, auto c) { return codes.at(r, c); });
  fill(out.scales, [&](auto r, auto g) { return scale_at(scales, r * groups + g); });
  if (grid.symmetric) {
    std::fill_n(out.zeros.data(), out.zeros.size(), static_cast<std::uint8_t>(1 << (bits - 1)));
  } else {
    const auto zeros = compressed_streams(file, layer + ".weight_zero_point", groups, rows, bits, true);
    fill(out.zeros, [&](auto r, auto g) { return zeros.at(g, r); });
  }
  return out;
}

}  // namespace

Unpacked unpack_layer(const TensorFile& file, const PackedConfig& config, const std::string& layer) {
  return config.kind() == PackedConfig::Kind::compressed_tensors ? unpack_compressed_tensors(file, config, layer)
                                                                 : unpack_gptq(file, config, layer);
}

std::array<std::int64_t, 2> packed_shape(const TensorFile& file, const PackedConfig& config, const std::string& layer) {
  const auto [rows, cols] =
      config.kind() == PackedConfig::Kind::compressed_tensors ? compressed_sizes(file, layer) : gptq_sizes(file, layer);
  return {rows, cols};
}

}  // namespace nearplane
