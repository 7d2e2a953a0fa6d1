#include "runtime/device_matrix.h"

#include <gtest/gtest.h>

#include "kernel/cuda/decode.h"
#include "kernel/cuda/emulated.h"
#include "qtensor/quantized_tensor.h"
#include "random_coded.h"
#include "random_quantized.h"
#include "random_sparse.h"

namespace nearplane {
namespace {

using cuda::emulate_dense;
using cuda::emulate_inputs;
using cuda::emulate_tuple;

Matrix<float> decoded(const QuantizedTensor& tensor) {
  Matrix<float> w(tensor.rows(), tensor.cols());
  tensor.decode_rows(0, tensor.rows(), w.data());
  return w;
}

template <class F>
auto with_bits(int bits, const F& f) {
  if (bits == 2) return f.template operator()<2>();
  if (bits == 3) return f.template operator()<3>();
  if (bits == 4) return f.template operator()<4>();
  return f.template operator()<8>();
}

TEST(DeviceMatrix, HoldsTheWeightsOfIntegerLayers) {
  for (int bits = 2; bits <= 8; ++bits)
    for (const auto& [cols, group] : {std::pair<std::int64_t, std::int64_t>{256, 64}, {200, 128}, {50, 50}})
      for (const bool symmetric : {false, true}) {
        const auto tensor = random_quantized(37, cols, bits, group, symmetric, 3);
        const auto device = device_dense(tensor);
        ASSERT_TRUE(device);
        const auto w = device->view();
        const auto stride = decoded_stride(w);
        std::vector<std::uint16_t> out(static_cast<std::size_t>(37 * stride));
        with_bits(w.bits, [&]<int kBits>() {
          cuda::emulate(w.row_blocks() * w.tiles, 1, 0, false,
                        [&](cuda::EmulatedBlock& block) { cuda::decode_dense<kBits>(block, w, out.data()); });
        });
        const auto expected = decoded(tensor);
        for (std::int64_t r = 0; r < 37; ++r)
          for (std::int64_t j = 0; j < cols; ++j)
            ASSERT_EQ(out[static_cast<std::size_t>(r * stride + j)], f32_to_bf16(expected(r, j))) << bits << " bits";
      }
}

// y against the product with decoded weights, in double: inputs are within 2^-16 of the largest.
void expect_product(MatrixView<const float> w, const std::vector<float>& x, const std::vector<float>& y,
                    const std::vector<float>& factors = {}) {
  for (std::int64_t r = 0; r < w.rows; ++r) {
    double sum = 0, weights = 0, largest = 0;
    for (std::int64_t j = 0; j < w.cols; ++j) {
      const double factor = factors.empty() ? 1 : factors[static_cast<std::size_t>(j)];
      sum += static_cast<double>(w(r, j)) * x[static_cast<std::size_t>(j)];
      weights += std::abs(w(r, j) / factor);
      largest = std::max(largest, std::abs(factor * x[static_cast<std::size_t>(j)]));
    }
    ASSERT_NEAR(y[static_cast<std::size_t>(r)], sum, weights * largest / 60000 + 1e-5) << "row " << r;
  }
}

TEST(DeviceMatrix, MultipliesSparseLayers) {
  Rng rng(1);
  for (const int bits : {2, 3, 4, 6})
    for (const auto& [cols, group] : {std::pair<std::int64_t, std::int64_t>{192, 64}, {100, 100}}) {
      auto source = random_sparse(40, cols, bits, group, {0, 13, 99}, 2, 5);
      for (auto& s : source.step.span()) s = f16_to_f32(f32_to_f16(0.01f + 0.01f * s / 65504));
      const auto tensor = source.pack();
      const auto device = device_dense(tensor);
      ASSERT_TRUE(device);
      EXPECT_GT(device->extras.list.size(), 0u);
      const auto w = device->view();
      auto in = emulate_inputs(w.piece_shape(), 1, cuda::random_inputs(rng, 1, static_cast<int>(cols)));
      const auto y = with_bits(w.bits, [&]<int kBits>() { return emulate_dense<kBits, 0>(w, in.view(), 2); });
      expect_product(decoded(tensor).view(), in.x, y);
    }
}

std::vector<float> product(const cuda::TupleMatrix& w, const cuda::Inputs& in) {
  constexpr int kShared = 227 * 1024;
  if (w.states == 1 && w.k == 1) return emulate_tuple<1, false>(w, in, 1, kShared);
  if (w.states == 1 && w.k == 2) return emulate_tuple<2, false>(w, in, 1, kShared);
  if (w.states == 1) return emulate_tuple<3, false>(w, in, 1, kShared);
  if (w.k == 1) return emulate_tuple<1, true>(w, in, 1, kShared);
  if (w.k == 2) return emulate_tuple<2, true>(w, in, 1, kShared);
  return emulate_tuple<3, true>(w, in, 1, kShared);
}

TEST(DeviceMatrix, MultipliesEntropyCodedLayers) {
  Rng rng(2);
  for (const int states : {1, 4, 8, 16})
    for (const bool steps : {false, true}) {
      const auto tensor = random_coded(70, 330, states, steps, 1);
      const auto device = device_tuples(tensor);
      ASSERT_TRUE(device) << states << " states";
      const auto w = device->view();
      const auto x = cuda::random_inputs(rng, 1, 330);
      auto scaled = x;
      for (std::size_t j = 0; j < scaled.size(); ++j) scaled[j] *= device->column_factors[j];
      auto in = emulate_inputs(w.piece_shape(), 1, scaled);
      expect_product(decoded(tensor).view(), x, product(w, in.view()), device->column_factors);
    }
}

TEST(DeviceMatrix, LeavesAloneWhatNoKernelTakes) {
  EXPECT_FALSE(device_dense(random_quantized(4, 96, 4, 32, false, 1)));
  LevelModel model;
  model.trellis = *find_trellis(4), model.row.assign(2, 0), model.column.assign(40, 0);
  const std::vector<std::int16_t> levels(80, 1);
  CodedTensor t;
  t.rows = 2, t.cols = 40, t.step = 1;
  t.levels.emplace(encode_levels(model, fit_tables(model, levels), levels), model.column, "no restarts");
  EXPECT_FALSE(device_tuples(t));
}

}  // namespace
}  // namespace nearplane
