#include "kernel/cuda/inputs.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernel/cuda/emulated.h"

namespace nearplane::cuda {
namespace {

std::vector<PieceShape> every_shape(int cols) {
  std::vector<PieceShape> shapes;
  for (const int columns : {64, 128}) shapes.push_back({cols, columns, (cols + columns - 1) / columns, columns / 4, 4});
  for (int k = 1; k <= 3; ++k)
    for (const int groups : {1, 28}) {
      const int columns = 3 * k * groups;
      shapes.push_back({cols, columns, (cols + columns - 1) / columns, 4 * groups, k});
    }
  return shapes;
}

TEST(CudaInputs, AreTheNearestIntegersInTwoPlanes) {
  Rng rng(1);
  for (const int cols : {1, 64, 200, 512})
    for (const auto& shape : every_shape(cols)) {
      const auto in = emulate_inputs(shape, 3, random_inputs(rng, 3, cols));
      for (int t = 0; t < 3; ++t)
        for (int p = 0; p < shape.pieces; ++p) {
          const auto at = static_cast<std::size_t>(t * shape.pieces + p);
          float largest = 0;
          std::int32_t sum = 0;
          const int first = p * shape.columns, end = std::min(cols, first + shape.columns);
          for (int j = first; j < end; ++j)
            largest = std::max(largest, std::abs(in.x[static_cast<std::size_t>(t * cols + j)]));
          ASSERT_EQ(in.scales[at], largest / kLargestInput);
          for (int j = first; j < end; ++j) {
            const auto v = in.value(t, j);
            ASSERT_EQ(v, std::nearbyint(in.x[static_cast<std::size_t>(t * cols + j)] / in.scales[at]));
            sum += v;
          }
          ASSERT_EQ(in.sums[at], sum);
        }
    }
}

TEST(CudaInputs, AreZeroBesideTheColumnsOfAPiece) {
  Rng rng(2);
  for (const auto& shape : every_shape(100)) {
    const auto in = emulate_inputs(shape, 2, random_inputs(rng, 2, 100));
    std::size_t bytes = 0;  // that may be other than zero
    for (std::size_t i = 0; i < in.high.size(); ++i)
      for (int byte = 0; byte < 4; ++byte) {
        const int word = static_cast<int>(i) % shape.words, piece = static_cast<int>(i) / shape.words % shape.pieces;
        const int column = shape.column(word, byte);
        if (column >= 0 && piece * shape.columns + column < 100)
          ++bytes;
        else
          ASSERT_EQ((in.high[i] | in.low[i]) >> 8 * byte & 255, 0u);
      }
    EXPECT_EQ(bytes, 200u);
  }
}

TEST(CudaInputs, SayWhenTheyAreNotNumbersAndTakeTinyOnesForZero) {
  const PieceShape shape{256, 64, 4, 16, 4};
  std::vector<float> x(256, 1);
  x[3] = std::numeric_limits<float>::infinity(), x[70] = std::numeric_limits<float>::quiet_NaN();
  std::fill(x.begin() + 128, x.begin() + 192, 0x1p-110f);
  const auto in = emulate_inputs(shape, 1, x);
  EXPECT_TRUE(std::isnan(in.scales[0]) && std::isnan(in.scales[1]));
  EXPECT_EQ(in.scales[2], 0);
  EXPECT_EQ(in.sums[2], 0);
  EXPECT_EQ(in.scales[3] * static_cast<float>(in.value(0, 255)), 1);
}

TEST(CudaInputs, DoNotDependOnTheOrderOfLanes) {
  Rng rng(3);
  for (const auto& shape : every_shape(300)) {
    const auto x = random_inputs(rng, 2, 300);
    const auto a = emulate_inputs(shape, 2, x), b = emulate_inputs(shape, 2, x, true);
    EXPECT_EQ(a.high, b.high);
    EXPECT_EQ(a.low, b.low);
    EXPECT_EQ(a.sums, b.sums);
    EXPECT_EQ(a.scales, b.scales);
  }
}

}  // namespace
}  // namespace nearplane::cuda
