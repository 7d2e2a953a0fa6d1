// A linear layer as entropy-coded grid points, without a range: rows and columns have steps of their own.
// Problem: Q[i,j] = (r[i] * a[j]) * point[i,j], r[i] = scale(row_steps[i]), a[j] = step * scale(column_steps[j]); each
// product rounded to f32. Steps are eighths of an octave: rate changes by 0.001 bit against steps of any size.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "codec/level_stream.h"

namespace nearplane {

inline constexpr int kStepsPerOctave = 8, kUnitStep = 128;
inline constexpr float kLeastStep = 0x1p-90f, kLargestStep = 0x1p60f;  // so that every product is a normal number

/// 2^((code - kUnitStep) / kStepsPerOctave) as f32: a power of two times the f32 nearest to 2^(0/8) ... 2^(7/8).
float step_scale(std::uint8_t code);
/// Classes [n] of columns for level streams, in quarters of an octave; `column_steps` empty: all kUnitStep.
std::vector<int> column_classes(const std::vector<std::uint8_t>& column_steps, std::int64_t cols);

struct CodedTensor {
  std::int64_t rows = 0, cols = 0;         // W [m, n] = [out, in]
  float step = 0;                          // in [kLeastStep, kLargestStep]
  std::vector<std::uint8_t> row_steps;     // [rows]; empty: all kUnitStep
  std::vector<std::uint8_t> column_steps;  // [cols]; empty: all kUnitStep
  std::optional<LevelReader> levels;       // of rows x cols, read with column_classes()

  /// Throws Error{bad_input} at `where` unless sizes and the step are what the comments above say. Levels are checked
  /// as they are decoded.
  void validate(const std::string& where) const;
  std::int64_t stored_bytes() const;
  /// Error{bad_input} if the levels are damaged.
  void decode_rows(std::int64_t r0, std::int64_t count, float* out) const;
};

}  // namespace nearplane
