#include "runtime/coded_levels.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "base/threads.h"
#include "codec/tuple_stream.h"

namespace nearplane {
namespace {

constexpr std::int64_t kFitLevels = 1 << 17;
constexpr double kSlack = 0.02;  // of bits, for tuples that decode faster

}  // namespace

std::vector<std::int32_t> decode_levels(const LevelReader& reader) {
  const auto rows = reader.rows(), cols = reader.cols();
  std::vector<std::int32_t> levels(static_cast<std::size_t>(rows * cols));
  parallel_for((rows + kLevelBlockRows - 1) / kLevelBlockRows, [&](std::int64_t block) {
    const auto first = block * kLevelBlockRows;
    reader.decode_levels(first, std::min(kLevelBlockRows, rows - first), levels.data() + first * cols);
  });
  return levels;
}

bool fits_tuples(std::span<const std::int32_t> levels, std::int64_t cols) {
  const auto big = [](std::int32_t z) { return std::abs(z) > kMaxTupleLevel; };
  return cols <= kMaxTupleCols && std::none_of(levels.begin(), levels.end(), big);
}

TupleCode fit_tuple_code(std::span<const std::int32_t> levels, const LevelReader& reader, int table_bits,
                         int most_bits) {
  const auto rows = reader.rows(), cols = reader.cols();
  const auto taken = std::clamp<std::int64_t>(kFitLevels / cols, 1, rows);
  std::vector<std::int32_t> some;
  for (std::int64_t i = 0; i < taken; ++i) {
    const auto row = levels.subspan(static_cast<std::size_t>(i * rows / taken * cols), static_cast<std::size_t>(cols));
    some.insert(some.end(), row.begin(), row.end());
  }
  const int states = reader.trellis().states;
  const int bits = std::min(most_bits, table_bits - std::countr_zero(static_cast<unsigned>(states)));
  return best_tuple_code(some, cols, reader.trellis(), static_cast<int>(reader.restart()), bits, kSlack, kCodedLevels);
}

}  // namespace nearplane
