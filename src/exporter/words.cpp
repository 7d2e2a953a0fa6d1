#include "exporter/words.h"

#include <cstring>

#include "codec/pack.h"

namespace nearplane {

// The rows of the store are the same streams, padded to a byte instead of a word.
Matrix<std::uint32_t> code_words(const IntegerTensor& layer) {
  Matrix<std::uint32_t> out(layer.rows, words_of(layer.cols, layer.bits));
  const auto bytes = layer.row_bytes();
  for (std::int64_t r = 0; r < layer.rows; ++r)
    std::memcpy(out.row(r), layer.codes.data() + r * bytes, static_cast<std::size_t>(bytes));
  return out;
}

Matrix<std::uint32_t> zero_words(const IntegerTensor& layer, int subtract) {
  Matrix<std::uint8_t> zeros(layer.rows, layer.groups());
  for (std::int64_t r = 0; r < layer.rows; ++r) layer.zeros_of_row(r, zeros.row(r));
  auto by_group = transposed<std::uint8_t>(zeros.view());
  for (auto& zero : by_group.span()) zero = static_cast<std::uint8_t>(zero - subtract);
  Matrix<std::uint32_t> out(layer.groups(), words_of(layer.rows, layer.bits));
  for (std::int64_t g = 0; g < out.rows(); ++g)
    pack_row({by_group.row(g), static_cast<std::size_t>(layer.rows)}, layer.bits,
             reinterpret_cast<std::byte*>(out.row(g)));
  return out;
}

}  // namespace nearplane
