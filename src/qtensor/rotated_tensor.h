// A linear layer as integer codes of its rotated weights, one step for all, and the seed of the two rotations.
// Problem: Q = U^T Z V, Z[i,j] = step * (code[i,j] - (2^bits - 1) / 2); V of size n and then U of size m from one
// stream of random numbers (rotation.h). Levels lie on both sides of 0 alike: rotated weights are, too.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "qtensor/rotation.h"
#include "tensor/matrix.h"

namespace nearplane {

inline constexpr float kLeastRotatedStep = 0x1p-90f, kLargestRotatedStep = 0x1p60f;

struct RotatedTensor {
  std::int64_t rows = 0, cols = 0;  // W [m, n] = [out, in]
  int bits = 0;                     // 2 to 8
  std::uint64_t seed = 0;
  float step = 0;                // in [kLeastRotatedStep, kLargestRotatedStep]
  std::vector<std::byte> codes;  // [rows][packed_row_bytes(cols, bits)], codec/pack.h

  struct Rotations {
    Rotation in, out;  // V, U
  };
  Rotations rotations() const;

  /// Throws Error{bad_input} at `where` unless sizes and the step are what the comments above say, Error{unsupported}
  /// for a size that has no rotation.
  void validate(const std::string& where) const;
  std::int64_t stored_bytes() const;
  /// Rows [r0, r0 + count) of Z to out[count, cols]. Single-threaded.
  void decode_rotated(std::int64_t r0, std::int64_t count, float* out) const;
  /// Every row of Q is made of all rows of Z: this takes as long as decode(), whatever `count` is.
  void decode_rows(std::int64_t r0, std::int64_t count, float* out) const;
  /// All of Q, on all threads.
  Matrix<float> decode() const;
};

}  // namespace nearplane
