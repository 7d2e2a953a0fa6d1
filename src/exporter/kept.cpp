#include "exporter/kept.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "tensor/decode.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr std::int64_t kPiece = 1 << 18;  // elements, a multiple of every block size

// f(values of one piece), in order; `first` and `count` in elements.
template <class F>
void for_pieces(const StoredTensor& tensor, const F& f) {
  std::vector<float> values;
  for (std::int64_t first = 0; first < tensor.elements(); first += kPiece) {
    values.resize(static_cast<std::size_t>(std::min(kPiece, tensor.elements() - first)));
    decode_f32(tensor.dtype, tensor.bytes.data() + dtype_bytes(tensor.dtype, first), std::ssize(values), values.data());
    f(first, std::span<const float>(values));
  }
}

template <class F>
void for_pieces(const QuantizedTensor& table, const F& f) {
  const auto rows = std::max<std::int64_t>(1, kPiece / table.cols());
  std::vector<float> values;
  for (std::int64_t first = 0; first < table.rows(); first += rows) {
    const auto count = std::min(rows, table.rows() - first);
    values.resize(static_cast<std::size_t>(count * table.cols()));
    table.decode_rows(first, count, values.data());
    f(first * table.cols(), std::span<const float>(values));
  }
}

bool same_bits(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

// As what has to be decoded is exported.
template <class T>
KeptExport plan_decoded(const T& tensor) {
  KeptExport out{DType::f32, true, 0};
  float largest = 0;
  for_pieces(tensor, [&](std::int64_t, std::span<const float> values) {
    for (const float v : values) {
      out.exact &= same_bits(f16_to_f32(f32_to_f16(v)), v);
      largest = std::max(largest, std::abs(v));
    }
  });
  out.largest = largest;
  if (out.exact) out.dtype = DType::f16;
  return out;
}

template <class T>
void write_decoded(const T& tensor, DType dtype, const ByteSink& out) {
  std::vector<std::uint16_t> halves;
  for_pieces(tensor, [&](std::int64_t, std::span<const float> values) {
    if (dtype == DType::f32) return out(std::as_bytes(values));
    halves.resize(values.size());
    std::transform(values.begin(), values.end(), halves.begin(), f32_to_f16);
    out(std::as_bytes(std::span(halves)));
  });
}

template <class T>
bool same_decoded(const T& tensor, const StoredTensor& exported) {
  bool same = true;
  std::vector<float> there;
  for_pieces(tensor, [&](std::int64_t first, std::span<const float> here) {
    there.resize(here.size());
    decode_f32(exported.dtype, exported.bytes.data() + dtype_bytes(exported.dtype, first), std::ssize(here),
               there.data());
    same = same && std::ranges::equal(here, there, same_bits);
  });
  return same;
}

}  // namespace

KeptExport plan_kept(const StoredTensor& tensor) {
  const auto& info = dtype_info(tensor.dtype);
  if (!info.floating) return {tensor.dtype, true, 0};
  auto out = plan_decoded(tensor);
  if (info.block == 1) out.dtype = tensor.dtype;
  return out;
}

KeptExport plan_kept(const QuantizedTensor& table) { return plan_decoded(table); }

void write_kept(const StoredTensor& tensor, DType dtype, const ByteSink& out) {
  dtype == tensor.dtype ? out(tensor.bytes) : write_decoded(tensor, dtype, out);
}

void write_kept(const QuantizedTensor& table, DType dtype, const ByteSink& out) { write_decoded(table, dtype, out); }

bool same_values(const StoredTensor& tensor, const StoredTensor& exported) {
  if (exported.shape != tensor.shape) return false;
  if (exported.dtype == tensor.dtype) return std::ranges::equal(exported.bytes, tensor.bytes);
  return same_decoded(tensor, exported);
}

bool same_values(const QuantizedTensor& table, const StoredTensor& exported) {
  return exported.shape == std::vector{table.rows(), table.cols()} && same_decoded(table, exported);
}

}  // namespace nearplane
