// The narrow waist: what a quantized linear layer is, whatever made it and wherever it goes.
// Methods write it, the store keeps it, the runtime reads it; exporters read the integer form.
// A form is a struct with rows, cols, validate, stored_bytes and decode_rows, and its tensors in store_layer.cpp.
#pragma once

#include <variant>

#include "qtensor/block_tensor.h"
#include "qtensor/coded_tensor.h"
#include "qtensor/integer_tensor.h"
#include "qtensor/outlier_tensor.h"
#include "qtensor/rotated_tensor.h"
#include "qtensor/sparse_tensor.h"
#include "qtensor/split_tensor.h"

namespace nearplane {

struct QuantizedTensor {
  std::variant<IntegerTensor, CodedTensor, RotatedTensor, SplitTensor, OutlierTensor, SparseTensor, BlockTensor> form;

  QuantizedTensor() = default;
  QuantizedTensor(IntegerTensor t) : form(std::move(t)) {}
  QuantizedTensor(CodedTensor t) : form(std::move(t)) {}
  QuantizedTensor(RotatedTensor t) : form(std::move(t)) {}
  QuantizedTensor(SplitTensor t) : form(std::move(t)) {}
  QuantizedTensor(OutlierTensor t) : form(std::move(t)) {}
  QuantizedTensor(SparseTensor t) : form(std::move(t)) {}
  QuantizedTensor(BlockTensor t) : form(std::move(t)) {}

  // W [m, n] = [out, in]
  std::int64_t rows() const {
    return std::visit([](const auto& t) { return t.rows; }, form);
  }
  std::int64_t cols() const {
    return std::visit([](const auto& t) { return t.cols; }, form);
  }
  /// nullptr if the layer is of another form.
  const IntegerTensor* integer() const { return std::get_if<IntegerTensor>(&form); }
  const RotatedTensor* rotated() const { return std::get_if<RotatedTensor>(&form); }

  /// Throws Error{bad_input} at `where` unless sizes, ranges and scales are what the form says.
  void validate(const std::string& where) const {
    std::visit([&](const auto& t) { t.validate(where); }, form);
  }
  /// Bytes of everything needed to decode.
  std::int64_t stored_bytes() const {
    return std::visit([](const auto& t) { return t.stored_bytes(); }, form);
  }
  /// stored_bytes x 8 / weights.
  double bits_per_weight() const {
    return 8.0 * static_cast<double>(stored_bytes()) / static_cast<double>(rows() * cols());
  }
  /// The reference decode: rows [r0, r0 + count) to out[count, cols]. Single-threaded. Coded levels may turn out to be
  /// damaged here: Error{bad_input}.
  void decode_rows(std::int64_t r0, std::int64_t count, float* out) const {
    std::visit([&](const auto& t) { t.decode_rows(r0, count, out); }, form);
  }
  /// All rows, on all threads: the way to every row of a rotated layer, whose single rows take as long as all of them.
  Matrix<float> decode() const;
};

}  // namespace nearplane
