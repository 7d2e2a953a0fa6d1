// The end of every product: 32 rows of a block, whose dense sums lie in parts, get what is not in dense codes - listed
// differences, kept columns, steps of rows - and are written.
// Parts are added in their order, list and columns lane by lane and then across lanes: the same bits in every run.
#pragma once

#include "kernel/cuda/inputs.h"

namespace nearplane::cuda {

inline constexpr int kBlockRows = 32;

/// code + delta is what the list says of a place.
struct ListEntry {
  std::uint16_t column;
  std::int16_t delta;
};

/// What is added to dense sums; null pointers: nothing.
struct RowExtras {
  const std::uint32_t* list_starts;  // [rows + 1]
  const ListEntry* list;             // by row
  const std::int32_t* kept_columns;  // [kept]
  int kept;
  const std::uint16_t* kept_values;  // [rows][kept] f16
  const float* row_steps;            // [rows]
};

/// What a lane finds of list and kept columns of a row, for one token's x [cols]; step_of(row, column) is what a
/// difference is multiplied with.
template <class StepOf>
NEARPLANE_HOST_DEVICE float extra_sum(const RowExtras& extras, const float* x, int row, int lane,
                                      const StepOf& step_of) {
  float sum = 0;
  if (extras.list_starts != nullptr) {
    NEARPLANE_KEEP_LOOP
    for (auto e = extras.list_starts[row] + lane; e < extras.list_starts[row + 1]; e += kLanes) {
      const auto [column, delta] = extras.list[e];
      sum = multiply_add(step_of(row, column) * static_cast<float>(delta), x[column], sum);
    }
  }
  NEARPLANE_KEEP_LOOP
  for (int k = lane; k < extras.kept; k += kLanes)
    sum = multiply_add(widen_f16(extras.kept_values[static_cast<std::int64_t>(row) * extras.kept + k]),
                       x[extras.kept_columns[k]], sum);
  return sum;
}

/// Shared memory of finish_rows: parts [parts][T][32], then one more.
NEARPLANE_HOST_DEVICE inline int part_bytes(int parts, int tokens) { return (parts + 1) * tokens * kBlockRows * 4; }

/// y [T, rows] in rows [first, first + 32), from `parts` of sums in shared memory.
template <class Block, class StepOf>
NEARPLANE_HOST_DEVICE void finish_rows(Block& block, const RowExtras& extras, const Inputs& in, int rows, int cols,
                                       int first, float* sums, int parts, float* y, const StepOf& step_of) {
  using Warp = typename Block::Warp;
  float* more = sums + parts * in.tokens * kBlockRows;
  if (extras.list_starts != nullptr || extras.kept > 0)
    block.each_warp([&](Warp& warp, int index) {
      NEARPLANE_KEEP_LOOP
      for (int i = index; i < in.tokens * kBlockRows; i += block.warps()) {
        const int row = first + i % kBlockRows;
        if (row >= rows) continue;
        const float* x = in.x + static_cast<std::int64_t>(i / kBlockRows) * cols;
        typename Warp::template PerLane<float> sum;
        warp.each([&](int lane) { sum[lane] = extra_sum(extras, x, row, lane, step_of); });
        for (int mask = kLanes / 2; mask > 0; mask /= 2) warp.add_across(sum, mask);
        warp.each([&](int lane) {
          if (lane == 0) more[i] = sum[0];
        });
      }
    });
  block.each_warp([&](Warp& warp, int index) {
    NEARPLANE_KEEP_LOOP
    for (int token = index; token < in.tokens; token += block.warps())
      warp.each([&](int lane) {
        const int row = first + lane;
        if (row >= rows) return;
        float sum = 0;
        NEARPLANE_KEEP_LOOP
        for (int part = 0; part < parts; ++part) sum += sums[(part * in.tokens + token) * kBlockRows + lane];
        if (extras.list_starts != nullptr || extras.kept > 0) sum += more[token * kBlockRows + lane];
        if (extras.row_steps != nullptr) sum *= extras.row_steps[row];
        y[static_cast<std::int64_t>(token) * rows + row] = sum;
      });
  });
}

/// y [T, rows] += what list and kept columns add, for products whose dense part was made elsewhere. A warp for each
/// token and row.
template <class Block, class StepOf>
NEARPLANE_HOST_DEVICE void add_extras(Block& block, const RowExtras& extras, const float* x, int tokens, int rows,
                                      int cols, float* y, const StepOf& step_of) {
  using Warp = typename Block::Warp;
  block.each_warp([&](Warp& warp, int index) {
    const auto item = static_cast<std::int64_t>(block.index()) * block.warps() + index;
    if (item >= static_cast<std::int64_t>(tokens) * rows) return;
    typename Warp::template PerLane<float> sum;
    const int row = static_cast<int>(item % rows);
    warp.each([&](int lane) { sum[lane] = extra_sum(extras, x + item / rows * cols, row, lane, step_of); });
    for (int mask = kLanes / 2; mask > 0; mask /= 2) warp.add_across(sum, mask);
    warp.each([&](int lane) {
      if (lane == 0) y[item] += extras.row_steps != nullptr ? sum[0] * extras.row_steps[row] : sum[0];
    });
  });
}

}  // namespace nearplane::cuda
