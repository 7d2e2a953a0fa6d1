// A valid coded layer with random levels, classes and steps.
#pragma once

#include "base/rng.h"
#include "qtensor/coded_tensor.h"

namespace nearplane {

[[gnu::noinline]] inline CodedTensor random_coded(std::int64_t rows, std::int64_t cols, int states, bool steps,
                                                  std::uint64_t seed) {
  Rng rng(seed);
  CodedTensor t;
  t.rows = rows, t.cols = cols, t.step = 0.01f;
  if (steps) {
    for (std::int64_t i = 0; i < rows; ++i) t.row_steps.push_back(static_cast<std::uint8_t>(120 + rng.below(16)));
    for (std::int64_t j = 0; j < cols; ++j) t.column_steps.push_back(static_cast<std::uint8_t>(120 + rng.below(16)));
  }
  LevelModel model;
  model.trellis = *find_trellis(states), model.restart = 144, model.classes = 16;
  for (std::int64_t i = 0; i < rows; ++i) model.row.push_back(static_cast<int>(64 + rng.below(8)));
  model.column = column_classes(t.column_steps, cols);
  std::vector<std::int16_t> levels;
  for (std::int64_t i = 0; i < rows * cols; ++i) levels.push_back(static_cast<std::int16_t>(2 * rng.normal()));
  t.levels.emplace(encode_levels(model, fit_tables(model, levels), levels), model.column, "random");
  return t;
}

}  // namespace nearplane
