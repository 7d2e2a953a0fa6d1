#include "calib/drift_gram.h"

#include <vector>

#include "base/check.h"
#include "base/threads.h"
#include "kernel/gemm.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr std::int64_t kTile = 192;
constexpr std::int64_t kChunk = 4096;  // tokens of one f32 sum

}  // namespace

DriftGram::DriftGram(std::int64_t n, Arithmetic arithmetic)
    : cross_(n, n), squares_(n, Arithmetic::f32), arithmetic_(arithmetic) {}

void DriftGram::add(MatrixView<const float> quantized, MatrixView<const float> original, const std::string& where) {
  for (std::int64_t t0 = 0; t0 < quantized.rows; t0 += kChunk) {
    const auto count = std::min(kChunk, quantized.rows - t0);
    add_chunk(quantized.rows_at(t0, count), original.rows_at(t0, count), where);
  }
}

void DriftGram::add_chunk(MatrixView<const float> quantized, MatrixView<const float> original,
                          const std::string& where) {
  const std::int64_t n = cross_.cols(), count = quantized.rows;
  if (seen_.rows() != count) {
    seen_ = Matrix<float>::uninitialized(count, n);
    difference_ = Matrix<float>::uninitialized(count, n);
  }
  const auto rounded = [&](float v) { return arithmetic_ == Arithmetic::bf16 ? bf16_to_f32(f32_to_bf16(v)) : v; };
  parallel_for(count, [&](std::int64_t t) {
    for (std::int64_t j = 0; j < n; ++j) {
      seen_(t, j) = rounded(quantized(t, j));
      difference_(t, j) = rounded(original(t, j)) - seen_(t, j);
    }
  });
  squares_.add(difference_.view(), where + ", original minus quantized");
  const std::int64_t tiles = (n + kTile - 1) / kTile;
  parallel_for(tiles * tiles, [&](std::int64_t index) {
    const auto i = index / tiles * kTile, j = index % tiles * kTile;
    const auto rows = std::min(kTile, n - i), cols = std::min(kTile, n - j);
    thread_local std::vector<float> sum(kTile * kTile);
    gemm_tn(rows, cols, count, 1.0f, seen_.data() + i, n, difference_.data() + j, n, 0.0f, sum.data(), cols);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < cols; ++c) cross_(i + r, j + c) += static_cast<double>(sum[r * cols + c]);
  });
}

}  // namespace nearplane
