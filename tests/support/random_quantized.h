// A valid quantized layer with random codes, scales and zero points.
#pragma once

#include "base/rng.h"
#include "qtensor/integer_tensor.h"

namespace nearplane {

// Not inlined: with a constant shape g++ 12 warns of the negative sizes it can imagine.
[[gnu::noinline]] inline IntegerTensor random_quantized(std::int64_t rows, std::int64_t cols, int bits,
                                                        std::int64_t group, bool symmetric, std::uint64_t seed) {
  Rng rng(seed);
  const auto groups = (cols + group - 1) / group;
  Matrix<std::uint8_t> codes(rows, cols), zeros(rows, groups);
  Matrix<std::uint16_t> scales(rows, groups);
  for (auto& c : codes.span()) c = static_cast<std::uint8_t>(rng.below(1u << bits));
  for (auto& z : zeros.span()) z = static_cast<std::uint8_t>(1 + rng.below((1u << bits) - 1));
  for (auto& s : scales.span()) s = static_cast<std::uint16_t>(1 + rng.below(0x7bff));  // every finite f16 above 0
  return pack_quantized(codes.view(), scales.view(), zeros.view(), bits, group, symmetric);
}

}  // namespace nearplane
