#include "runtime/packed_linear.h"

#include <cassert>

#include "base/threads.h"
#include "transformer/scratch.h"

namespace nearplane {
namespace {

constexpr std::int64_t kTokens = 512;            // of one sweep over the rows, which opens each of them once
constexpr std::int64_t kLeastRows = 16;          // of a task: packed_dot() takes as many at a time;
constexpr std::int64_t kTileRows = 64;           // at most, and of a tile that is opened,
constexpr std::int64_t kTupleRows = 128;         // of a task of tuples: a multiple of what stands side by side
constexpr std::int64_t kTaskProducts = 1 << 18;  //   fewer where that is still as much work: some 10 microseconds

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

class PackedLinear : public Linear {
 public:
  PackedLinear(std::unique_ptr<PackedMatrix> matrix, std::vector<float> bias)
      : matrix_(std::move(matrix)), bias_(std::move(bias)) {
    assert(bias_.empty() || std::ssize(bias_) == out_features());
  }
  std::int64_t in_features() const override { return matrix_->shape().cols; }
  std::int64_t out_features() const override { return matrix_->rows(); }

  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    assert(x.cols == in_features() && y.cols == out_features() && x.rows == y.rows);
    if (x.rows == 1 && matrix_->has_tuples()) return multiply_tuples(x, y);
    for (std::int64_t t = 0; t < x.rows; t += kTokens) {
      const auto count = std::min(kTokens, x.rows - t);
      multiply(x.rows_at(t, count), y.rows_at(t, count));
    }
  }

  void add_transposed(MatrixView<const float>, MatrixView<float>) const override { assert(false); }

 private:
  void multiply_tuples(MatrixView<const float> x, MatrixView<float> y) const {
    thread_local TupleInputs in;
    matrix_->prepare(x.row(0), in);
    const auto& inputs = in;  // of this thread
    parallel_for(ceil_div(out_features(), kTupleRows), [&](std::int64_t task) {
      const auto first = task * kTupleRows, count = std::min(kTupleRows, out_features() - first);
      auto* sums = y.row(0) + first;
      matrix_->multiply(first, count, inputs, sums);
      for (std::int64_t i = 0; i < count; ++i) {
        matrix_->finish(first + i, x, sums + i);
        if (!bias_.empty()) sums[i] += bias_[static_cast<std::size_t>(first + i)];
      }
    });
  }

  void multiply(MatrixView<const float> x, MatrixView<float> y) const {
    const auto tiles = pack(x);
    const auto products = in_features() * x.rows;
    const auto rows = std::clamp(ceil_div(kTaskProducts, products), kLeastRows, kTileRows);
    // A task that is too short takes several tiles.
    const auto task_rows = rows * ceil_div(kTaskProducts, products * rows);
    parallel_for(ceil_div(out_features(), task_rows), [&](std::int64_t task) {
      const auto end = std::min(out_features(), (task + 1) * task_rows);
      for (auto r = task * task_rows; r < end; r += rows) multiply_rows(tiles, x, r, std::min(rows, end - r), y);
    });
  }

  // Tiles of kPackedTokens tokens, each with its pieces side by side.
  std::vector<PackedInputs> pack(MatrixView<const float> x) const {
    const auto& shape = matrix_->shape();
    const auto pieces = shape.pieces();
    const auto last = x.rows % kPackedTokens, room = x.rows - last + PackedInputs::room_for(last);
    const auto values = scratch<std::int16_t, Scratch::packed_values>(room * pieces, shape.width);
    const auto scales = scratch<float, Scratch::packed_scales>(room, pieces);
    const auto sums = scratch<float, Scratch::packed_sums>(room, pieces);
    std::vector<PackedInputs> tiles;
    for (std::int64_t t = 0; t < x.rows; t += kPackedTokens)
      tiles.push_back({std::min(kPackedTokens, x.rows - t), values.row(t * pieces), scales.row(t), sums.row(t)});
    parallel_for(std::ssize(tiles), [&](std::int64_t i) {
      const auto t = i * kPackedTokens;
      pack_inputs(shape, x.rows_at(t, tiles[static_cast<std::size_t>(i)].tokens), matrix_->column_factors(),
                  values.row(t * pieces), scales.row(t), sums.row(t));
    });
    return tiles;
  }

  void multiply_rows(std::span<const PackedInputs> tiles, MatrixView<const float> x, std::int64_t first,
                     std::int64_t count, MatrixView<float> y) const {
    thread_local PackedTile opened;
    matrix_->open(first, count, opened);
    const auto rows = std::span(opened.rows).first(static_cast<std::size_t>(count));
    const auto sums = scratch<float, Scratch::packed_products>(count, kPackedTokens);
    std::int64_t t0 = 0;
    for (const auto& in : tiles) {
      packed_dot(matrix_->shape(), in, rows, sums.data);
      for (std::int64_t i = 0; i < count; ++i)
        matrix_->finish(first + i, x.rows_at(t0, in.tokens), sums.data + i * in.tokens);
      for (std::int64_t t = 0; t < in.tokens; ++t) {
        auto* to = y.row(t0 + t) + first;
        for (std::int64_t i = 0; i < count; ++i) to[i] = sums.data[i * in.tokens + t];
        for (std::int64_t i = 0; i < count && !bias_.empty(); ++i) to[i] += bias_[static_cast<std::size_t>(first + i)];
      }
      t0 += in.tokens;
    }
  }

  std::unique_ptr<PackedMatrix> matrix_;
  std::vector<float> bias_;  // [out] or empty
};

}  // namespace

std::unique_ptr<Linear> make_packed_linear(std::unique_ptr<PackedMatrix> matrix, std::vector<float> bias) {
  return std::make_unique<PackedLinear>(std::move(matrix), std::move(bias));
}

}  // namespace nearplane
