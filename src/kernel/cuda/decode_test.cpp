#include "kernel/cuda/decode.h"

#include <gtest/gtest.h>

#include "kernel/cuda/emulated.h"

namespace nearplane::cuda {
namespace {

template <int kBits>
void expect_dense(Rng& rng) {
  for (const auto& [rows, cols, group] : {std::array{40, 200, 64}, {32, 512, 128}, {3, 90, 90}}) {
    const auto c = DenseCase::random(rng, rows, cols, kBits, group);
    const auto layout = c.layout();
    const auto w = layout.view();
    const auto stride = decoded_stride(w);
    std::vector<std::uint16_t> out(static_cast<std::size_t>(rows * stride));
    emulate((w.row_blocks() * w.tiles + 2) / 3, 3, 0, false,
            [&](EmulatedBlock& block) { decode_dense<kBits>(block, w, out.data()); });
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < cols; ++j)
        ASSERT_EQ(out[static_cast<std::size_t>(r * stride + j)], f32_to_bf16(static_cast<float>(c.weight(r, j))))
            << kBits << " bits, " << r << ", " << j;
  }
}

TEST(CudaDecode, DenseWeights) {
  Rng rng(1);
  expect_dense<2>(rng);
  expect_dense<3>(rng);
  expect_dense<4>(rng);
  expect_dense<8>(rng);
}

template <int kK, bool kStates>
void expect_tuples(Rng& rng, int states) {
  auto c = TupleCase::random(rng, 21, 400, 36, RandomBook::random(rng, kK, states, 8, 5), true);
  c.extras = random_extras(rng, c.rows, c.cols, 0, 0, true);
  const TupleLayout layout(c.source());
  auto w = layout.view();
  w.extras = c.extras.view();
  const auto stride = decoded_stride(w);
  std::vector<std::uint16_t> out(static_cast<std::size_t>(c.rows * stride));
  const int warps = fit_shared(w, 64 * 1024);
  emulate(2, warps, static_cast<std::size_t>(w.shared_bytes(warps)), true,
          [&](EmulatedBlock& block) { decode_tuple<kK, kStates>(block, w, out.data()); });
  for (int r = 0; r < c.rows; ++r)
    for (int j = 0; j < c.cols; ++j)
      ASSERT_EQ(out[static_cast<std::size_t>(r * stride + j)],
                f32_to_bf16(c.extras.row_steps[static_cast<std::size_t>(r)] * static_cast<float>(c.point(r, j))));
}

TEST(CudaDecode, TupleWeights) {
  Rng rng(2);
  expect_tuples<1, true>(rng, 8);
  expect_tuples<2, false>(rng, 1);
  expect_tuples<3, false>(rng, 1);
  expect_tuples<3, true>(rng, 4);
}

TEST(CudaDecode, ListsAndKeptColumnsAreAddedAfterwards) {
  Rng rng(3);
  const int tokens = 3, rows = 20, cols = 150;
  const auto extras = random_extras(rng, rows, cols, 0.05, 4, true);
  const auto x = random_inputs(rng, tokens, cols);
  std::vector<float> y(static_cast<std::size_t>(tokens * rows), 1.0f);
  emulate((tokens * rows + 3) / 4, 4, 0, false, [&](EmulatedBlock& block) {
    add_extras(block, extras.view(), x.data(), tokens, rows, cols, y.data(), [](int row, int) { return row + 0.5f; });
  });
  for (int t = 0; t < tokens; ++t)
    for (int r = 0; r < rows; ++r) {
      const double sum = extra_product(extras, r, x.data() + t * cols, [](int row, int) { return row + 0.5; });
      const double expected = 1 + sum * extras.row_steps[static_cast<std::size_t>(r)];
      ASSERT_NEAR(y[static_cast<std::size_t>(t * rows + r)], expected, 1e-4 * (1 + std::abs(expected)));
    }
}

}  // namespace
}  // namespace nearplane::cuda
