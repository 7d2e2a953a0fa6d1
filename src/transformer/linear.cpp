// y = W x + b with W decoded a tile of rows at a time, each tile once per call.
// Cost: 2 T m n operations. Memory per thread: one tile of at most kRowTile x n, which stays in its cache while all
// tokens pass. Tiles depend on the shape alone, so results do not depend on the number of threads.
#include "transformer/linear.h"

#include <cassert>

#include "base/threads.h"
#include "kernel/gemm.h"
#include "transformer/scratch.h"
#include "transformer/vector_ops.h"

namespace nearplane {
namespace {

constexpr std::int64_t kRowTile = 128;    // rows decoded at a time: enough columns for the GEMM to run at full rate
constexpr std::int64_t kTokenTile = 256;  // tokens of one GEMM call, so that its operands fit the caches
constexpr std::int64_t kFewTokens = 8;    // up to here a dot product per row beats packing for a GEMM (generation)
constexpr std::int64_t kFewRows = 32;     // rows of a task then
constexpr std::int64_t kCopyRows = 64;

template <class F>
void for_tiles(std::int64_t count, std::int64_t tile, const F& body) {
  parallel_for((count + tile - 1) / tile, [&](std::int64_t i) { body(i * tile, std::min(tile, count - i * tile)); });
}

// The largest tile size up to kRowTile that splits `rows` evenly, rounded up to whole vectors.
std::int64_t even_tile(std::int64_t rows) {
  const auto tiles = (rows + kRowTile - 1) / kRowTile;
  return ((rows + tiles - 1) / tiles + 15) / 16 * 16;
}

class DecodedLinear : public Linear {
 public:
  DecodedLinear(std::shared_ptr<const WeightRows> weights, std::vector<float> bias, Compute compute)
      : weights_(std::move(weights)), bias_(std::move(bias)), compute_(compute) {
    assert(bias_.empty() || std::ssize(bias_) == weights_->rows());
  }
  std::int64_t in_features() const override { return weights_->cols(); }
  std::int64_t out_features() const override { return weights_->rows(); }

  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    assert(x.cols == in_features() && y.cols == out_features() && x.rows == y.rows);
    if (compute_ == Compute::bf16 && x.rows > kFewTokens && has_bf16_gemm()) return apply_bf16(x, y);
    Matrix<float> rounded;
    if (compute_ == Compute::bf16) {
      rounded = rounded_copy(x);
      x = rounded.view();
    }
    x.rows > kFewTokens ? apply_many(x, y) : apply_few(x, y);
  }

 private:
  // Rows [r0, r0 + count) as the arithmetic sees them.
  const float* decoded(std::int64_t r0, std::int64_t count) const {
    const auto n = in_features();
    float* tile = scratch<float>(count * n);
    weights_->decode(r0, count, tile);
    if (compute_ == Compute::bf16) round_bf16(tile, count * n, tile);
    return tile;
  }

  void apply_few(MatrixView<const float> x, MatrixView<float> y) const {
    const auto n = in_features();
    for_tiles(out_features(), kFewRows, [&](std::int64_t r0, std::int64_t count) {
      const float* tile = decoded(r0, count);
      for (std::int64_t t = 0; t < x.rows; ++t) {
        for (std::int64_t r = 0; r < count; ++r) y(t, r0 + r) = dot(tile + r * n, x.row(t), n);
        add_bias(y.block(t, r0, 1, count), r0);
      }
    });
  }

  void apply_many(MatrixView<const float> x, MatrixView<float> y) const {
    const auto n = in_features();
    for_tiles(out_features(), even_tile(out_features()), [&](std::int64_t r0, std::int64_t count) {
      const float* tile = decoded(r0, count);
      for (std::int64_t t = 0; t < x.rows; t += kTokenTile) {
        const auto part = y.block(t, r0, std::min(kTokenTile, x.rows - t), count);
        gemm_nt(part.rows, count, n, 1.0f, x.row(t), x.stride, tile, n, 0.0f, part.data, part.stride);
        add_bias(part, r0);
      }
    });
  }

  // The same on the machine's bf16 instructions. One call per tile: they are so fast that calls would dominate.
  void apply_bf16(MatrixView<const float> x, MatrixView<float> y) const {
    const auto n = in_features();
    auto x16 = Matrix<std::uint16_t>::uninitialized(x.rows, n);
    for_tiles(x.rows, kCopyRows, [&](std::int64_t t0, std::int64_t count) {
      for (std::int64_t t = t0; t < t0 + count; ++t) to_bf16(x.row(t), n, x16.row(t));
    });
    for_tiles(out_features(), even_tile(out_features()), [&](std::int64_t r0, std::int64_t count) {
      float* tile = scratch<float>(count * n);
      weights_->decode(r0, count, tile);
      auto* tile16 = scratch<std::uint16_t>(count * n);
      to_bf16(tile, count * n, tile16);
      const auto part = y.block(0, r0, x.rows, count);
      gemm_nt_bf16(x.rows, count, n, x16.data(), n, tile16, n, part.data, part.stride);
      add_bias(part, r0);
    });
  }

  static Matrix<float> rounded_copy(MatrixView<const float> x) {
    auto out = Matrix<float>::uninitialized(x.rows, x.cols);
    for_tiles(x.rows, kCopyRows, [&](std::int64_t t0, std::int64_t count) {
      for (std::int64_t t = t0; t < t0 + count; ++t) round_bf16(x.row(t), x.cols, out.row(t));
    });
    return out;
  }

  void add_bias(MatrixView<float> y, std::int64_t r0) const {
    if (bias_.empty()) return;
    for (std::int64_t t = 0; t < y.rows; ++t) add(y.row(t), bias_.data() + r0, y.cols);
  }

  std::shared_ptr<const WeightRows> weights_;
  std::vector<float> bias_;  // [out] or empty
  Compute compute_;
};

}  // namespace

std::unique_ptr<Linear> make_linear(std::shared_ptr<const WeightRows> weights, std::vector<float> bias,
                                    Compute compute) {
  return std::make_unique<DecodedLinear>(std::move(weights), std::move(bias), compute);
}

}  // namespace nearplane
