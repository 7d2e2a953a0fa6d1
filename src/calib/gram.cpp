#include "calib/gram.h"

#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/threads.h"
#include "kernel/gemm.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr std::int64_t kTile = 192;    // 576 = 3 tiles, 1536 = 8: little waste on the diagonal, full speed inside
constexpr std::int64_t kChunk = 4096;  // tokens of one f32 sum

[[noreturn]] void fail_non_finite(MatrixView<const float> x, std::int64_t first_token, const std::string& where) {
  for (std::int64_t t = 0; t < x.rows; ++t)
    for (std::int64_t j = 0; j < x.cols; ++j)
      if (!std::isfinite(x(t, j)))
        throw Error(ErrorCode::numerical,
                    fmt::format("input column {} is {} at calibration token {}", j, x(t, j), first_token + t), where);
  throw Error(ErrorCode::numerical, "the Gram matrix of finite inputs overflows f32", where);
}

}  // namespace

Gram::Gram(std::int64_t n, Arithmetic arithmetic) : total_(n, n), arithmetic_(arithmetic) {}

void Gram::add(MatrixView<const float> x, const std::string& where) {
  for (std::int64_t t0 = 0; t0 < x.rows; t0 += kChunk) {
    const auto part = x.rows_at(t0, std::min(kChunk, x.rows - t0));
    if (arithmetic_ == Arithmetic::bf16) {
      rounded_ = Matrix<std::uint16_t>::uninitialized(x.cols, part.rows);
      parallel_for((x.cols + 63) / 64, [&](std::int64_t block) {
        for (std::int64_t t = 0; t < part.rows; ++t)
          for (std::int64_t j = block * 64; j < std::min(x.cols, block * 64 + 64); ++j)
            rounded_(j, t) = f32_to_bf16(part(t, j));
      });
    }
    const std::int64_t tiles = (x.cols + kTile - 1) / kTile;
    parallel_for(tiles * (tiles + 1) / 2, [&](std::int64_t index) {
      // index -> (i, j), j <= i: later rows hold more tiles, which are handed out last
      auto i = static_cast<std::int64_t>((std::sqrt(8.0 * static_cast<double>(index) + 1.0) - 1.0) / 2.0);
      while (i * (i + 1) / 2 > index) --i;
      while ((i + 1) * (i + 2) / 2 <= index) ++i;
      add_tile(i * kTile, (index - i * (i + 1) / 2) * kTile, part);
    });
    for (std::int64_t j = 0; j < x.cols; ++j)
      if (!std::isfinite(total_(j, j))) fail_non_finite(part, tokens_, where);
    tokens_ += part.rows;
  }
}

void Gram::add_tile(std::int64_t i, std::int64_t j, MatrixView<const float> x) {
  const std::int64_t n = total_.cols(), rows = std::min(kTile, n - i), cols = std::min(kTile, n - j);
  thread_local std::vector<float> sum(kTile * kTile);
  if (arithmetic_ == Arithmetic::bf16)
    gemm_nt_bf16(rows, cols, x.rows, rounded_.row(i), x.rows, rounded_.row(j), x.rows, sum.data(), cols);
  else
    gemm_tn(rows, cols, x.rows, 1.0f, x.data + i, x.stride, x.data + j, x.stride, 0.0f, sum.data(), cols);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) total_(i + r, j + c) += static_cast<double>(sum[r * cols + c]);
}

}  // namespace nearplane
