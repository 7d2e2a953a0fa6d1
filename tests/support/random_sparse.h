// A valid sparse layer with random codes, steps and kept columns.
#pragma once

#include "base/rng.h"
#include "qtensor/sparse_tensor.h"
#include "tensor/half.h"

namespace nearplane {

/// What a sparse layer is made of. Codes are normal with as many dense steps to the end of the range as `spread` says,
/// a few far outside.
struct SparseSource {
  Matrix<std::int16_t> codes;
  Matrix<float> step;
  std::vector<std::int32_t> kept_columns;
  Matrix<std::uint16_t> kept;
  int bits;
  std::int64_t group;

  SparseTensor pack() const { return pack_sparse({codes.view(), step.view(), kept_columns, kept.view()}, bits, group); }
};

[[gnu::noinline]] inline SparseSource random_sparse(std::int64_t rows, std::int64_t cols, int bits, std::int64_t group,
                                                    std::vector<std::int32_t> kept, double spread, std::uint64_t seed) {
  Rng rng(seed);
  const auto count = std::ssize(kept);
  SparseSource out{{rows, cols}, {rows, (cols + group - 1) / group}, std::move(kept), {rows, count}, bits, group};
  for (auto& u : out.codes.span()) {
    const double far = rng.below(500) == 0 ? 40.0 : 1.0;
    u = static_cast<std::int16_t>(rng.normal() * far * (1 << (bits - 1)) / spread);
  }
  for (auto& s : out.step.span()) s = f16_to_f32(static_cast<std::uint16_t>(1 + rng.below(0x7bff)));
  for (auto& k : out.kept.span()) k = f32_to_f16(static_cast<float>(rng.normal()));
  return out;
}

}  // namespace nearplane
