#include "calib/drift_gram.h"

#include "base/check.h"
#include "base/threads.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

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
  if (difference_.rows() != count) difference_ = Matrix<float>::uninitialized(count, n);
  const auto rounded = [&](float v) { return arithmetic_ == Arithmetic::bf16 ? bf16_to_f32(f32_to_bf16(v)) : v; };
  parallel_for(count, [&](std::int64_t t) {
    for (std::int64_t j = 0; j < n; ++j) difference_(t, j) = rounded(original(t, j)) - rounded(quantized(t, j));
  });
  squares_.add(difference_.view(), where + ", original minus quantized");
  seen_.fill(count, n, [&](std::int64_t t, std::int64_t j) { return rounded(quantized(t, j)); });
  const auto panels = seen_.count();
  parallel_for(panels * panels, [&](std::int64_t index) {
    add_panel_product(seen_, index / panels, squares_.panels(), index % panels, cross_);
  });
}

}  // namespace nearplane
