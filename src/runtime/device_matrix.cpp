#include "runtime/device_matrix.h"

#include <algorithm>

#include "codec/pack.h"
#include "codec/tuple_map.h"
#include "codec/tuple_stream.h"
#include "runtime/coded_levels.h"

namespace nearplane {
namespace {

// 2^10 entries stand in shared memory 32 times, 2^11 of several states 16 times; more copies are worth more than bits.
int table_bits(int states) { return states == 1 ? 10 : 11; }

int held_bits(int bits) { return bits > 4 ? 8 : bits; }

// Codes [rows][cols] of rows of packed bytes.
std::vector<std::uint8_t> unpack_all(const std::vector<std::byte>& packed, std::int64_t rows, std::int64_t cols,
                                     int bits) {
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(rows * cols));
  for (std::int64_t r = 0; r < rows; ++r)
    unpack_row(packed.data() + r * packed_row_bytes(cols, bits), bits,
               std::span(codes).subspan(static_cast<std::size_t>(r * cols), static_cast<std::size_t>(cols)));
  return codes;
}

// A difference that 16 bits do not hold takes several entries.
void list_difference(std::int64_t column, int delta, std::vector<cuda::ListEntry>& list) {
  while (delta != 0) {
    const int part = std::clamp<int>(delta, INT16_MIN, INT16_MAX);
    list.push_back({static_cast<std::uint16_t>(column), static_cast<std::int16_t>(part)});
    delta -= part;
  }
}

// Words of all levels, and in `extras` the points that their words do not have.
std::vector<cuda::TupleBits> words_of(std::span<const std::int32_t> levels, std::int64_t cols, const TupleCode& code,
                                      cuda::ExtraLayout& extras) {
  TupleWords words(code, kCodedLevels);
  std::vector<cuda::TupleBits> out;
  const auto n = static_cast<std::size_t>(cols), k = static_cast<std::size_t>(code.shape().k);
  for (std::size_t row = 0; row < levels.size(); row += n) {
    extras.starts.push_back(static_cast<std::uint32_t>(extras.list.size()));
    for_each_tuple(levels.subspan(row, n), code.shape(), [&](std::size_t column, int state, const Tuple& tuple) {
      const auto& word = words(state, tuple);
      out.push_back({word.code, word.length});
      const auto wanted = code.shape().points(state, tuple);
      for (std::size_t i = 0; i < k && column + i < n; ++i)
        list_difference(static_cast<std::int64_t>(column + i), wanted[i] - word.points[i], extras.list);
    });
  }
  extras.starts.push_back(static_cast<std::uint32_t>(extras.list.size()));
  return out;
}

}  // namespace

std::optional<DeviceDense> device_dense(const IntegerTensor& t) {
  if (!cuda::DenseLayout::can_hold(held_bits(t.bits), t.cols, t.group)) return std::nullopt;
  std::vector<std::uint8_t> zeros(t.scales.size(), static_cast<std::uint8_t>(1 << (t.bits - 1)));
  if (!t.symmetric)
    for (std::int64_t r = 0; r < t.rows; ++r) t.zeros_of_row(r, zeros.data() + r * t.groups());
  return DeviceDense{
      {static_cast<int>(t.rows), static_cast<int>(t.cols), held_bits(t.bits),
       static_cast<int>(std::min(t.group, t.cols)), unpack_all(t.codes, t.rows, t.cols, t.bits), t.scales, zeros},
      {}};
}

std::optional<DeviceDense> device_dense(const SparseTensor& t) {
  if (!cuda::DenseLayout::can_hold(held_bits(t.bits), t.cols, t.group) || t.cols > UINT16_MAX + 1) return std::nullopt;
  std::vector<std::uint16_t> scales;
  std::vector<std::uint8_t> zeros;
  for (const auto s : t.scales) {
    scales.push_back(s & 0x7fff);
    zeros.push_back(static_cast<std::uint8_t>(t.zero(s)));
  }
  DeviceDense out{
      {static_cast<int>(t.rows), static_cast<int>(t.cols), held_bits(t.bits),
       static_cast<int>(std::min(t.group, t.cols)), unpack_all(t.codes, t.rows, t.cols, t.bits), scales, zeros},
      {{}, {}, t.kept_columns, t.kept, {}}};
  std::vector<Overflow> listed;
  for (std::int64_t r = 0; r < t.rows; ++r, listed.clear()) {
    out.extras.starts.push_back(static_cast<std::uint32_t>(out.extras.list.size()));
    t.overflow->row(r, listed);
    for (const auto& [column, delta] : listed) list_difference(column, delta, out.extras.list);
  }
  out.extras.starts.push_back(static_cast<std::uint32_t>(out.extras.list.size()));
  return out;
}

std::optional<DeviceTuples> device_tuples(const CodedTensor& t) {
  const auto& reader = *t.levels;
  const auto levels = decode_levels(reader);
  if (!fits_tuples(levels, t.cols)) return std::nullopt;
  const int states = reader.trellis().states;
  const auto code = fit_tuple_code(levels, reader, table_bits(states), cuda::kMostWordBits);
  const auto table = code.table();
  cuda::ExtraLayout extras;
  const auto words = words_of(levels, t.cols, code, extras);
  const int k = code.shape().k, cols = static_cast<int>(t.cols);
  const cuda::TupleSource source{static_cast<int>(t.rows),
                                 cols,
                                 k,
                                 states == 1 ? cuda::TupleLayout::columns_for(cols, k) : code.shape().restart,
                                 code.table_bits(),
                                 states,
                                 code.zero_point(),
                                 table,
                                 words};
  if (!cuda::TupleLayout::can_hold(source)) return std::nullopt;
  std::vector<float> factors(static_cast<std::size_t>(t.cols), t.step);
  for (std::size_t j = 0; j < t.column_steps.size(); ++j) factors[j] = t.step * step_scale(t.column_steps[j]);
  for (const auto step : t.row_steps) extras.row_steps.push_back(step_scale(step));
  return DeviceTuples{cuda::TupleLayout(source), std::move(extras), std::move(factors)};
}

}  // namespace nearplane
