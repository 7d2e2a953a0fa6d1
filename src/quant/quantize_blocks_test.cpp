#include "quant/quantize_blocks.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/threads.h"
#include "expect_error.h"
#include "lattice/error.h"
#include "lattice_problem.h"
#include "quant/block_scales.h"
#include "quant/measure.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr BlockGrid kGrids[] = {BlockGrid::q4_0, BlockGrid::q2_k, BlockGrid::q3_k,   BlockGrid::q4_k,
                                BlockGrid::q5_k, BlockGrid::q6_k, BlockGrid::iq4_nl, BlockGrid::iq4_xs};

GridOptions options(BlockGrid grid) {
  GridOptions o;
  o.blocks = grid;
  return o;
}

const BlockTensor& tensor(const QuantizedLayer& layer) { return std::get<BlockTensor>(layer.tensor.form); }

double error_of(const Matrix<float>& w, const QuantizedTensor& q, const Matrix<double>& h) {
  return total(lattice::row_errors<double>(differences(w, q).view(), h));
}

// Every block's chosen scales, every weight on the level nearest to it.
BlockTensor rounded(const Matrix<float>& w, DType type) {
  BlockTensor t;
  t.rows = w.rows(), t.cols = w.cols(), t.type = type;
  t.blocks.resize(static_cast<std::size_t>(t.rows * t.row_bytes()));
  const auto& layout = *block_layout(type);
  const std::vector<float> cost(static_cast<std::size_t>(layout.block), 1.0f);
  for (std::int64_t i = 0; i < w.size() / layout.block; ++i) {
    const float* x = w.data() + i * layout.block;
    auto parts = choose_block(layout, x, cost.data());
    for (int j = 0; j < layout.block; ++j) {
      const auto s = static_cast<std::size_t>(j / layout.sub);
      const float step = f16_to_f32(parts.d) * static_cast<float>(parts.scales[s]),
                  least = f16_to_f32(parts.dmin) * static_cast<float>(parts.minimums[s]);
      parts.codes[static_cast<std::size_t>(j)] =
          static_cast<std::uint8_t>(step != 0 ? nearest_code(layout, (x[j] + least) / step) : 0);
    }
    pack_block(type, parts, t.blocks.data() + i * dtype_info(type).block_bytes);
  }
  return t;
}

TEST(BlockScales, TheNearestCodeIsNearest) {
  Rng rng(1);
  for (const auto grid : kGrids) {
    const auto& layout = *block_layout(block_type(grid));
    for (int repeat = 0; repeat < 2000; ++repeat) {
      const auto x = static_cast<float>(1.5 * layout.levels.back() * rng.normal());
      const auto distance = [&](int code) { return std::abs(x - static_cast<float>(layout.levels[code])); };
      const int code = nearest_code(layout, x);
      for (int other = 0; other < static_cast<int>(layout.levels.size()); ++other)
        ASSERT_LE(distance(code), distance(other)) << x;
    }
    EXPECT_EQ(nearest_code(layout, NAN), 0);
    EXPECT_EQ(nearest_code(layout, INFINITY), static_cast<int>(layout.levels.size()) - 1);
  }
}

// Relative squared errors of Gaussian weights: known to be near those of the best uniform quantizers of 2 to 6 bits.
TEST(BlockScales, ServeGaussianWeights) {
  const auto w = random_weights(64, 512, 2);
  Matrix<double> one(512, 512);
  for (std::int64_t j = 0; j < 512; ++j) one(j, j) = 1;
  const double norm = total(lattice::row_errors<double>(w.view(), one));
  constexpr double kMost[] = {0.0070, 0.085, 0.024, 0.0065, 0.0016, 0.0005, 0.0060, 0.0062};
  for (std::size_t i = 0; i < std::size(kGrids); ++i)
    EXPECT_LT(error_of(w, rounded(w, block_type(kGrids[i])), one) / norm, kMost[i]) << i;
}

TEST(BlockScales, ZerosStayZeros) {
  const Matrix<float> w(2, 256);
  for (const auto grid : kGrids) {
    const auto decoded = QuantizedTensor(rounded(w, block_type(grid))).decode();
    for (const float x : decoded.span()) ASSERT_EQ(x, 0);
  }
}

TEST(QuantizeBlocks, EveryGridIsMeasuredRightAndBeatsRounding) {
  const auto w = random_weights(40, 512, 3);
  const auto h = random_gram(512, 900, 4);
  const Hessian hessian(h, Order::act, 0.01, "h");
  const auto norm = total(lattice::row_errors<double>(w.view(), h));
  for (const auto grid : kGrids) {
    SCOPED_TRACE(dtype_info(block_type(grid)).name);
    const auto layer = quantize_blocks(w, hessian, options(grid), "w");
    layer.tensor.validate("w");
    EXPECT_EQ(tensor(layer).type, block_type(grid));
    EXPECT_EQ(layer.tensor.stored_bytes(), dtype_bytes(block_type(grid), 40 * 512));
    EXPECT_NEAR(layer.record.error, error_of(w, layer.tensor, h) / norm, 1e-6 * layer.record.error);
    EXPECT_LT(layer.record.certificate, 1e-4);
    EXPECT_LT(layer.record.error, 0.8 * error_of(w, rounded(w, block_type(grid)), h) / norm);
    EXPECT_EQ(layer.record.bound > 0, block_layout(block_type(grid))->uniform);
  }
}

TEST(QuantizeBlocks, TheSameForAnyNumberOfThreads) {
  const auto w = random_weights(130, 256, 5);
  const Hessian hessian(random_gram(256, 300, 6), Order::act, 0.01, "h");
  for (const auto grid : {BlockGrid::q2_k, BlockGrid::iq4_xs}) {
    set_thread_count(1);
    const auto one = quantize_blocks(w, hessian, options(grid), "w");
    set_thread_count(4);
    EXPECT_EQ(tensor(quantize_blocks(w, hessian, options(grid), "w")).blocks, tensor(one).blocks);
    set_thread_count(0);
  }
}

TEST(QuantizeBlocks, DeadColumnsDoNoHarm) {
  auto h = random_gram(256, 300, 7);
  for (std::int64_t j = 32; j < 64; ++j)
    for (std::int64_t i = 0; i < 256; ++i) h(i, j) = h(j, i) = 0;
  const Hessian hessian(h, Order::act, 0.01, "h");
  const auto layer = quantize_blocks(random_weights(8, 256, 8), hessian, options(BlockGrid::q3_k), "w");
  layer.tensor.validate("w");
  EXPECT_EQ(layer.record.dead_columns, 32);
  EXPECT_LT(layer.record.error, 0.05);
}

TEST(QuantizeBlocks, RefusesWhatItCannotDo) {
  const auto bad = [](const Matrix<float>& w, GridOptions o, std::initializer_list<std::string> parts) {
    const Hessian hessian(random_gram(w.cols(), 300, 9), Order::act, 0.01, "h");
    expect_error(ErrorCode::bad_input, parts, [&] { quantize_blocks(w, hessian, o, "layer"); });
  };
  bad(random_weights(2, 288, 1), options(BlockGrid::q3_k), {"layer", "Q3_K", "256", "288"});
  bad(random_weights(2, 48, 1), options(BlockGrid::q4_0), {"layer", "Q4_0", "32", "48"});
  auto w = random_weights(2, 256, 1);
  w(1, 7) = NAN;
  bad(w, options(BlockGrid::q2_k), {"layer", "(1, 7)", "nan"});
  w(1, 7) = 1e30f;
  bad(w, options(BlockGrid::q2_k), {"layer", "block 0 of row 1", "f16"});
  w(1, 7) = 0;
  auto o = options(BlockGrid::q2_k);
  o.solver = Solver::kbest;
  bad(w, o, {"plain nearest plane"});
  o = options(BlockGrid::q2_k), o.method = Method::rounding;
  bad(w, o, {"plain nearest plane"});
  o = options(BlockGrid::q2_k), o.scales = ScaleSearch::minmax;
  bad(w, o, {"searched"});
}

}  // namespace
}  // namespace nearplane
