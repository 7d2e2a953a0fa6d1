// decode a tile of rows -> range and step of each -> codes, and the error of what they decode to.
#include "quant/quantize_embedding.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/check.h"
#include "base/threads.h"
#include "quant/measure.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr std::int64_t kTileRows = 64;
constexpr int kBits = 8, kZero = 128, kHighest = 127;
constexpr float kLargestStep = 65504.0f;  // of f16

struct Range {
  float low = 0, high = 0;  // zero is always in it
};

Range range_of(std::span<const float> row, std::int64_t r, const std::string& where) {
  Range out;
  for (std::size_t j = 0; j < row.size(); ++j) {
    if (!std::isfinite(row[j])) fail_input(where, "the weight in row {}, column {} is {}", r, j, row[j]);
    out.low = std::min(out.low, row[j]), out.high = std::max(out.high, row[j]);
  }
  return out;
}

// f16 bits, rounded up: rounded to nearest, half of the rows would be clipped.
std::uint16_t step_of(const Range& range, std::int64_t r, const std::string& where) {
  const float least = std::max(range.high / kHighest, range.low / -kZero);
  if (least > kLargestStep)
    fail_input(where, "row {} needs a step of {}, beyond the largest f16 number {}", r, least, kLargestStep);
  const auto nearest = f32_to_f16(least);
  const auto step = static_cast<std::uint16_t>(f16_to_f32(nearest) < least ? nearest + 1 : nearest);
  return std::max<std::uint16_t>(step, 1);
}

struct Squares {
  double error = 0, weights = 0;
};

Squares encode_row(std::span<const float> row, float step, std::byte* codes) {
  Squares squares;
  for (std::size_t j = 0; j < row.size(); ++j) {
    const float level = std::nearbyint(row[j] / step);
    codes[j] = static_cast<std::byte>(static_cast<int>(level) + kZero);
    const auto w = static_cast<double>(row[j]), difference = w - static_cast<double>(step * level);
    squares.error += difference * difference;
    squares.weights += w * w;
  }
  return squares;
}

void add(const Squares& more, Squares& sum) { sum.error += more.error, sum.weights += more.weights; }

}  // namespace

QuantizedEmbedding quantize_embedding(std::int64_t rows, std::int64_t cols, const DecodeRows& decode,
                                      const std::string& where) {
  QuantizedEmbedding out;
  auto& t = out.tensor;
  t.rows = rows, t.cols = cols, t.bits = kBits, t.group = cols, t.symmetric = true;
  t.codes.resize(static_cast<std::size_t>(rows * t.row_bytes()));
  t.scales.resize(static_cast<std::size_t>(rows));
  std::vector<Squares> tiles(static_cast<std::size_t>((rows + kTileRows - 1) / kTileRows));
  parallel_for(std::ssize(tiles), [&](std::int64_t tile) {
    const auto first = tile * kTileRows, count = std::min(kTileRows, rows - first);
    std::vector<float> w(static_cast<std::size_t>(count * cols));
    decode(first, count, w.data());
    for (auto r = first; r < first + count; ++r) {
      const std::span row(w.data() + (r - first) * cols, static_cast<std::size_t>(cols));
      t.scales[r] = step_of(range_of(row, r, where), r, where);
      add(encode_row(row, f16_to_f32(t.scales[r]), t.codes.data() + r * t.row_bytes()), tiles[tile]);
    }
  });
  Squares sum;
  for (const auto& tile : tiles) add(tile, sum);
  out.error = ratio(sum.error, sum.weights);
  return out;
}

}  // namespace nearplane
