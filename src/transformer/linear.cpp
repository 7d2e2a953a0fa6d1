// y = W x + b and dx += W^T dy with W decoded a panel of rows at a time, each panel once per call.
// Cost: 2 T m n operations each. Memory: one panel, and with bf16 a rounded copy of x or dy.
// Panels and tiles depend on the shape alone, so results do not depend on the number of threads.
#include "transformer/linear.h"

#include <algorithm>
#include <cassert>

#include "base/threads.h"
#include "kernel/gemm.h"
#include "transformer/scratch.h"
#include "transformer/vector_ops.h"

namespace nearplane {
namespace {

constexpr std::int64_t kPanel = 4 << 20;  // weights decoded at a time (16 MiB): the matrices of small models whole
constexpr std::int64_t kTokenTile = 256;  // tokens of one GEMM call
constexpr std::int64_t kMaxRowTile = 768, kMinRowTile = 64;  // rows of one GEMM call
constexpr std::int64_t kTasks = 16;     // wanted at least per panel; row tiles shrink for it when tokens are few
constexpr std::int64_t kFewTokens = 8;  // up to here a dot product per row beats packing for a GEMM (generation)
constexpr std::int64_t kCopyRows = 64;  // rows of a task that only copies, decodes (coded levels come in blocks of 64)
                                        // or takes dot products

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// body(begin, count) for the tiles of [0, count).
template <class F>
void for_tiles(std::int64_t count, std::int64_t tile, const F& body) {
  parallel_for(ceil_div(count, tile), [&](std::int64_t i) { body(i * tile, std::min(tile, count - i * tile)); });
}

// `rows` split evenly into tiles of whole vectors, as large as kTasks allows.
std::int64_t row_tile(std::int64_t rows, std::int64_t tokens) {
  const auto most = std::clamp(rows * ceil_div(tokens, kTokenTile) / kTasks, kMinRowTile, kMaxRowTile);
  return ceil_div(ceil_div(rows, ceil_div(rows, most)), 16) * 16;
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
    if (x.rows <= kFewTokens)
      apply_few(x, y);
    else if (compute_ != Compute::bf16)
      apply_panels<float>(x, y);
    else if (has_bf16_gemm())
      apply_panels<std::uint16_t>(copy<std::uint16_t>(x, to_bf16), y);
    else
      apply_panels<float>(copy<float>(x, round_bf16), y);
  }

  void add_transposed(MatrixView<const float> dy, MatrixView<float> dx) const override {
    assert(dy.cols == out_features() && dx.cols == in_features() && dx.rows == dy.rows);
    if (compute_ == Compute::bf16) dy = copy<float>(dy, round_bf16);
    each_panel<float>([&](MatrixView<const float> w, std::int64_t p0) {
      add_transposed_panel(dy.block(0, p0, dy.rows, w.rows), w, dx);
    });
  }

 private:
  // Rows [r0, r0 + count) as the arithmetic sees them.
  void decode(std::int64_t r0, std::int64_t count, float* out) const {
    weights_->decode(r0, count, out);
    if (compute_ == Compute::bf16) round_bf16(out, count * in_features(), out);
  }
  void decode(std::int64_t r0, std::int64_t count, std::uint16_t* out) const {
    const auto wide = scratch<float, Scratch::decoded_rows>(count, in_features());
    weights_->decode(r0, count, wide.data);
    to_bf16(wide.data, count * in_features(), out);
  }

  static void multiply(MatrixView<const float> x, const float* w, MatrixView<float> y) {
    gemm_nt(y.rows, y.cols, x.cols, 1.0f, x.data, x.stride, w, x.cols, 0.0f, y.data, y.stride);
  }
  static void multiply(MatrixView<const std::uint16_t> x, const std::uint16_t* w, MatrixView<float> y) {
    gemm_nt_bf16(y.rows, y.cols, x.cols, x.data, x.stride, w, x.cols, y.data, y.stride);
  }

  void apply_few(MatrixView<const float> x, MatrixView<float> y) const {
    const auto n = in_features();
    if (compute_ == Compute::bf16) x = copy<float>(x, round_bf16);
    for_tiles(out_features(), kCopyRows, [&](std::int64_t r0, std::int64_t count) {
      const auto tile = scratch<float, Scratch::panel>(count, n);
      decode(r0, count, tile.data);
      for (std::int64_t t = 0; t < x.rows; ++t)
        for (std::int64_t r = 0; r < count; ++r) y(t, r0 + r) = dot(tile.row(r), x.row(t), n);
      add_bias(y.block(0, r0, x.rows, count), r0);
    });
  }

  // body(rows of W, index of the first) for W a panel at a time. T is float, or uint16 for bf16 instructions.
  template <class T, class F>
  void each_panel(const F& body) const {
    const auto m = out_features(), n = in_features();
    const auto panel_rows = std::min(m, std::max(kMinRowTile, kPanel / n));
    const auto panel = scratch<T, Scratch::panel>(panel_rows, n);
    for (std::int64_t p0 = 0; p0 < m; p0 += panel_rows) {
      const auto rows = std::min(panel_rows, m - p0);
      for_tiles(rows, kCopyRows, [&](std::int64_t r0, std::int64_t count) { decode(p0 + r0, count, panel.row(r0)); });
      body(panel.rows_at(0, rows), p0);
    }
  }

  template <class T>
  void apply_panels(MatrixView<const T> x, MatrixView<float> y) const {
    each_panel<T>(
        [&](MatrixView<const T> w, std::int64_t p0) { multiply_panel<T>(x, w, y.block(0, p0, y.rows, w.rows), p0); });
  }

  template <class T>
  void multiply_panel(MatrixView<const T> x, MatrixView<const T> w, MatrixView<float> y, std::int64_t p0) const {
    const auto tile = row_tile(w.rows, x.rows), row_tiles = ceil_div(w.rows, tile);
    parallel_for(ceil_div(x.rows, kTokenTile) * row_tiles, [&](std::int64_t task) {
      const auto t0 = task / row_tiles * kTokenTile, r0 = task % row_tiles * tile;
      const auto part = y.block(t0, r0, std::min(kTokenTile, x.rows - t0), std::min(tile, w.rows - r0));
      multiply(x.rows_at(t0, part.rows), w.row(r0), part);
      add_bias(part, p0 + r0);
    });
  }

  // dx += dy w: tiles of tokens and of columns of w.
  static void add_transposed_panel(MatrixView<const float> dy, MatrixView<const float> w, MatrixView<float> dx) {
    const auto tile = row_tile(w.cols, dx.rows), col_tiles = ceil_div(w.cols, tile);
    parallel_for(ceil_div(dx.rows, kTokenTile) * col_tiles, [&](std::int64_t task) {
      const auto t0 = task / col_tiles * kTokenTile, c0 = task % col_tiles * tile;
      const auto part = dx.block(t0, c0, std::min(kTokenTile, dx.rows - t0), std::min(tile, w.cols - c0));
      gemm_nn(part.rows, part.cols, w.rows, 1.0f, dy.row(t0), dy.stride, w.data + c0, w.stride, 1.0f, part.data,
              part.stride);
    });
  }

  // x with every row converted.
  template <class T, class F>
  static MatrixView<const T> copy(MatrixView<const float> x, const F& convert) {
    const auto out = scratch<T, Scratch::rounded_input>(x.rows, x.cols);
    for_tiles(x.rows, kCopyRows, [&](std::int64_t t0, std::int64_t count) {
      for (std::int64_t t = t0; t < t0 + count; ++t) convert(x.row(t), x.cols, out.row(t));
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
