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

bool same_bits(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

}  // namespace

KeptExport plan_kept(const StoredTensor& tensor) {
  KeptExport out{tensor.dtype, true, 0};
  if (!dtype_info(tensor.dtype).floating) return out;
  float largest = 0;
  for_pieces(tensor, [&](std::int64_t, std::span<const float> values) {
    for (const float v : values) {
      out.exact &= same_bits(f16_to_f32(f32_to_f16(v)), v);
      largest = std::max(largest, std::abs(v));
    }
  });
  out.largest = largest;
  if (dtype_info(tensor.dtype).block > 1) out.dtype = out.exact ? DType::f16 : DType::f32;
  return out;
}

void write_kept(const StoredTensor& tensor, DType dtype, const ByteSink& out) {
  if (dtype == tensor.dtype) return out(tensor.bytes);
  std::vector<std::uint16_t> halves;
  for_pieces(tensor, [&](std::int64_t, std::span<const float> values) {
    if (dtype == DType::f32) return out(std::as_bytes(values));
    halves.resize(values.size());
    std::transform(values.begin(), values.end(), halves.begin(), f32_to_f16);
    out(std::as_bytes(std::span(halves)));
  });
}

bool same_values(const StoredTensor& tensor, const StoredTensor& exported) {
  if (exported.shape != tensor.shape) return false;
  if (exported.dtype == tensor.dtype) return std::ranges::equal(exported.bytes, tensor.bytes);
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

}  // namespace nearplane
