// A weight matrix as rows of packed codes that kernels multiply with as they are (kernel/packed_dot.h): one file for
// each representation. What is not in dense codes - steps of rows, listed codes, kept columns - is added afterwards.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "container/tensor_file.h"
#include "kernel/packed_dot.h"
#include "kernel/tuple_dot.h"
#include "qtensor/quantized_tensor.h"
#include "tensor/matrix.h"

namespace nearplane {

/// Rows as a PackedMatrix opens them, with the memory they need; reused from tile to tile.
struct PackedTile {
  std::vector<PackedRow> rows;
  std::vector<float> scales, offsets;  // [rows][pieces], and room for kScalePadding more
  std::vector<std::uint8_t> codes;     // of rows that are decoded into bytes

  /// Rows of `shape` whose codes are at(i), i < count: scales and offsets from those of their groups, [count][groups].
  /// zeros = nullptr: all `zero`.
  template <class At>
  void open(const PackedShape& shape, std::int64_t count, const std::uint16_t* f16, const std::uint8_t* zeros, int zero,
            const At& at) {
    const auto pieces = shape.pieces();
    rows.resize(static_cast<std::size_t>(count));
    scales.resize(static_cast<std::size_t>(count * pieces + kScalePadding)), offsets.resize(scales.size());
    widen_scales(f16, zeros, zero, count * shape.groups(), scales.data(), offsets.data());
    if (shape.repeat > 1) spread(shape, count);
    for (std::int64_t i = 0; i < count; ++i)
      rows[static_cast<std::size_t>(i)] = {at(i), scales.data() + i * pieces, offsets.data() + i * pieces};
  }

 private:
  // From one number for each group to one for each piece; from the end: nothing is overwritten before it is read.
  void spread(const PackedShape& shape, std::int64_t count) {
    const auto pieces = shape.pieces(), groups = shape.groups();
    for (auto i = count - 1; i >= 0; --i)
      for (auto g = groups - 1; g >= 0; --g) {
        const auto from = static_cast<std::size_t>(i * groups + g);
        const auto to = i * pieces + g * shape.repeat, many = std::min(shape.repeat, pieces - g * shape.repeat);
        std::fill_n(scales.data() + to, many, float{scales[from]});
        std::fill_n(offsets.data() + to, many, float{offsets[from]});
      }
  }
};

class PackedMatrix {
 public:
  PackedMatrix(std::int64_t rows, PackedShape shape) : rows_(rows), shape_(shape) {}
  virtual ~PackedMatrix() = default;
  std::int64_t rows() const { return rows_; }
  const PackedShape& shape() const { return shape_; }

  /// Factors of columns [cols] that go into the activations; nullptr: none.
  virtual const float* column_factors() const { return nullptr; }
  /// Rows [first, first + count) for packed_dot(). Single-threaded; Error{bad_input} for damaged codes.
  virtual void open(std::int64_t first, std::int64_t count, PackedTile& tile) const = 0;
  /// Whether rows are tuples that tuple_dot() takes; then for one token prepare() and multiply() stand for open().
  virtual bool has_tuples() const { return false; }
  virtual void prepare(const float* /*x*/, TupleInputs& /*out*/) const {}
  virtual void multiply(std::int64_t /*first*/, std::int64_t /*count*/, const TupleInputs& /*in*/,
                        float* /*sums*/) const {}
  /// Turns sums[T] of dense codes into row `r` of the product with x [T, cols].
  virtual void finish(std::int64_t /*r*/, MatrixView<const float> /*x*/, float* /*sums*/) const {}

 private:
  std::int64_t rows_;
  PackedShape shape_;
};

/// Rows of codes where they are, but for the last ones, which are copied to where kPackedPadding bytes follow them.
class PackedCodes {
 public:
  PackedCodes(std::span<const std::byte> bytes, std::int64_t row_bytes) : bytes_(bytes), row_bytes_(row_bytes) {
    const auto all = std::ssize(bytes), tail = std::min(all, (kPackedPadding / row_bytes + 1) * row_bytes);
    tail_begin_ = all - tail;
    tail_.resize(static_cast<std::size_t>(tail + kPackedPadding));
    std::copy(bytes.end() - tail, bytes.end(), tail_.begin());
  }
  const std::byte* row(std::int64_t r) const {
    const auto at = r * row_bytes_;
    return at < tail_begin_ ? bytes_.data() + at : tail_.data() + (at - tail_begin_);
  }

 private:
  std::span<const std::byte> bytes_;
  std::int64_t row_bytes_, tail_begin_;
  std::vector<std::byte> tail_;
};

/// How entropy-coded layers are held.
enum class CodedForm {
  tuples,    // as code words of tuples: about their size in the file, decoded with every product
  expanded,  // as 4 to 8 bits for each point: faster
};

/// Integer codes; nullptr where groups of scales do not begin at whole bytes.
std::unique_ptr<PackedMatrix> pack_integer(std::shared_ptr<const QuantizedTensor> tensor);
/// Integer codes and a sparse list; nullptr as above, and for more than 65536 columns.
std::unique_ptr<PackedMatrix> pack_sparse_codes(std::shared_ptr<const QuantizedTensor> tensor);
/// Entropy-coded levels, recoded. Uses all threads. nullptr for more than 65536 columns and levels beyond 16383.
std::unique_ptr<PackedMatrix> pack_coded(const CodedTensor& tensor, CodedForm form);
/// ggml's Q4_0, Q4_1 and Q8_0, from the mapped file, which must outlive it; nullptr for other types. `stored_rows`:
/// where each row is among the rows of the tensor; empty: in order.
std::unique_ptr<PackedMatrix> pack_blocks(const StoredTensor& tensor, std::vector<std::int64_t> stored_rows = {});

}  // namespace nearplane
