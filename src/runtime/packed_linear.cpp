#include "runtime/packed_linear.h"

#include <cassert>

#include "base/threads.h"
#include "transformer/scratch.h"

namespace nearplane {
namespace {

constexpr std::int64_t kTokenTile = 256;            // tokens of one sweep over the rows
constexpr std::int64_t kTileRows = 64;              // rows of a task at most, and of a tile that is opened,
constexpr std::int64_t kTaskProducts = 1 << 18;     //   fewer where that is still as much work: some 10 microseconds
constexpr std::int64_t kPackPiecesTokens = 1 << 8;  // pieces times tokens that a task packs

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
    for (std::int64_t t = 0; t < x.rows; t += kTokenTile) {
      const auto count = std::min(kTokenTile, x.rows - t);
      multiply(x.rows_at(t, count), y.rows_at(t, count));
    }
  }

  void add_transposed(MatrixView<const float>, MatrixView<float>) const override { assert(false); }

 private:
  void multiply(MatrixView<const float> x, MatrixView<float> y) const {
    const auto in = pack(x);
    const auto products = in_features() * x.rows;
    const auto rows = std::clamp(ceil_div(kTaskProducts, products), std::int64_t{4}, kTileRows);
    // A task that is too short takes several tiles.
    const auto tiles = ceil_div(kTaskProducts, products * rows);
    const auto task_rows = rows * tiles;
    parallel_for(ceil_div(out_features(), task_rows), [&](std::int64_t task) {
      const auto end = std::min(out_features(), (task + 1) * task_rows);
      for (auto r = task * task_rows; r < end; r += rows) multiply_rows(in, x, r, std::min(rows, end - r), y);
    });
  }

  PackedInputs pack(MatrixView<const float> x) const {
    const auto& shape = matrix_->shape();
    const auto pieces = shape.pieces();
    const auto values = scratch<std::int16_t, Scratch::packed_values>(pieces * x.rows, shape.width);
    const auto scales = scratch<float, Scratch::packed_scales>(pieces, x.rows);
    const auto sums = scratch<float, Scratch::packed_sums>(x.rows, pieces);
    const auto step = std::max<std::int64_t>(1, kPackPiecesTokens / x.rows);
    parallel_for(ceil_div(pieces, step), [&](std::int64_t task) {
      const auto first = task * step;
      pack_inputs(shape, x, matrix_->column_factors(), first, std::min(step, pieces - first), values.data, scales.data,
                  sums.data);
    });
    return {x.rows, values.data, scales.data, sums.data};
  }

  void multiply_rows(const PackedInputs& in, MatrixView<const float> x, std::int64_t first, std::int64_t count,
                     MatrixView<float> y) const {
    thread_local PackedTile tile;
    matrix_->open(first, count, tile);
    const auto sums = scratch<float, Scratch::packed_products>(count, in.tokens);
    packed_dot(matrix_->shape(), in, std::span(tile.rows).first(static_cast<std::size_t>(count)), sums.data);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto r = first + i;
      matrix_->finish(r, x, sums.row(i));
      const float bias = bias_.empty() ? 0.0f : bias_[static_cast<std::size_t>(r)];
      for (std::int64_t t = 0; t < in.tokens; ++t) y(t, r) = sums(i, t) + bias;
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
