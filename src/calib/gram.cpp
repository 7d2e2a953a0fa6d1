#include "calib/gram.h"

#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/threads.h"
#include "kernel/gemm.h"
#include "transformer/vector_ops.h"

namespace nearplane {
namespace {

constexpr std::int64_t kChunk = 4096;  // tokens of one f32 sum

[[noreturn]] void fail_non_finite(MatrixView<const float> x, std::int64_t first_token, const std::string& where) {
  for (std::int64_t t = 0; t < x.rows; ++t)
    for (std::int64_t j = 0; j < x.cols; ++j)
      if (!std::isfinite(x(t, j)))
        throw Error(ErrorCode::numerical,
                    fmt::format("input column {} is {} at calibration token {}: the model itself does not compute with "
                                "finite numbers up to this layer",
                                j, x(t, j), first_token + t),
                    where);
  std::int64_t token = 0, column = 0;
  for (std::int64_t t = 0; t < x.rows; ++t)
    for (std::int64_t j = 0; j < x.cols; ++j)
      if (std::abs(x(t, j)) > std::abs(x(token, column))) token = t, column = j;
  throw Error(
      ErrorCode::numerical,
      fmt::format("the Gram matrix of finite inputs overflows f32: input column {} is {} at calibration token {}; "
                  "the model's weights before this layer are far too large",
                  column, x(token, column), first_token + token),
      where);
}

}  // namespace

Gram::Gram(std::int64_t n, Arithmetic arithmetic) : total_(n, n), arithmetic_(arithmetic) {}

void Gram::add(MatrixView<const float> x, const std::string& where) {
  for (std::int64_t t0 = 0; t0 < x.rows; t0 += kChunk) {
    const auto part = x.rows_at(t0, std::min(kChunk, x.rows - t0));
    if (arithmetic_ == Arithmetic::bf16)
      round(part);
    else
      panels_.fill(part.rows, part.cols, [&](std::int64_t t, std::int64_t j) { return part(t, j); });
    const std::int64_t tiles = (x.cols + kPanelColumns - 1) / kPanelColumns;
    parallel_for(tiles * (tiles + 1) / 2, [&](std::int64_t index) {
      // index -> (i, j), j <= i: later rows hold more tiles, which are handed out last
      auto i = static_cast<std::int64_t>((std::sqrt(8.0 * static_cast<double>(index) + 1.0) - 1.0) / 2.0);
      while (i * (i + 1) / 2 > index) --i;
      while ((i + 1) * (i + 2) / 2 <= index) ++i;
      const auto j = index - i * (i + 1) / 2;
      if (arithmetic_ == Arithmetic::bf16)
        add_rounded(i * kPanelColumns, j * kPanelColumns);
      else
        add_panel_product(panels_, i, panels_, j, total_);
    });
    for (std::int64_t j = 0; j < x.cols; ++j)
      if (!std::isfinite(total_(j, j))) fail_non_finite(part, tokens_, where);
    tokens_ += part.rows;
  }
}

// Transposes squares that stay in the first cache.
void Gram::round(MatrixView<const float> x) {
  constexpr std::int64_t kSide = 64;
  rounded_ = Matrix<std::uint16_t>::uninitialized(x.cols, x.rows);
  parallel_for((x.cols + kSide - 1) / kSide, [&](std::int64_t block) {
    std::uint16_t square[kSide][kSide];
    const auto j0 = block * kSide, cols = std::min(kSide, x.cols - j0);
    for (std::int64_t t0 = 0; t0 < x.rows; t0 += kSide) {
      const auto tokens = std::min(kSide, x.rows - t0);
      for (std::int64_t t = 0; t < tokens; ++t) to_bf16(x.row(t0 + t) + j0, cols, square[t]);
      for (std::int64_t j = 0; j < cols; ++j)
        for (std::int64_t t = 0; t < tokens; ++t) rounded_(j0 + j, t0 + t) = square[t][j];
    }
  });
}

void Gram::add_rounded(std::int64_t i, std::int64_t j) {
  const std::int64_t n = total_.cols(), tokens = rounded_.cols();
  const auto rows = std::min(kPanelColumns, n - i), cols = std::min(kPanelColumns, n - j);
  thread_local std::vector<float> sum(kPanelColumns * kPanelColumns);
  gemm_nt_bf16(rows, cols, tokens, rounded_.row(i), tokens, rounded_.row(j), tokens, sum.data(), cols);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c) total_(i + r, j + c) += static_cast<double>(sum[r * cols + c]);
}

}  // namespace nearplane
