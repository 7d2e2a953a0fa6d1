#include "kernel/cuda/dense.h"

#include <gtest/gtest.h>

#include "kernel/cuda/emulated.h"

namespace nearplane::cuda {
namespace {

template <class F>
void for_every_bits(const F& f) {
  f.template operator()<2>();
  f.template operator()<3>();
  f.template operator()<4>();
  f.template operator()<8>();
}

// Codes and inputs as large as they get, and random ones.
void set_extreme(DenseCase& c, std::vector<float>& x) {
  std::fill(c.codes.begin(), c.codes.end(), static_cast<std::uint8_t>((1 << c.bits) - 1));
  std::fill(c.zeros.begin(), c.zeros.end(), std::uint8_t{0});
  std::fill(x.begin(), x.end(), -3.0f);
}

// The bytes as docs/kernels-gpu.md describes them, a bit at a time.
int code_of(const DenseLayout& layout, int row, int column) {
  const auto& s = layout.shape;
  const auto* tile =
      reinterpret_cast<const std::uint8_t*>(layout.codes.data() + (row / 32 * s.tiles + column / 64) * 16 * s.bits);
  const int lane = row % 32, j = column % 64;
  const auto bit = [&](int byte, int at) { return tile[byte] >> at & 1; };
  int code = 0;
  for (int b = 0; b < s.bits; ++b) {
    if (s.bits == 8) code |= bit(j / 16 * 512 + lane * 16 + j % 16, b) << b;
    if (s.bits == 4) code |= bit(j / 32 * 512 + lane * 16 + j % 32 / 8 * 4 + j % 4, j % 8 / 4 * 4 + b) << b;
    if (s.bits < 4 && b < 2) code |= bit(lane * 16 + j / 16 * 4 + j % 4, j % 16 / 4 * 2 + b) << b;
    if (b == 2 && s.bits == 3) {
      const int places[] = {2, 4, 6, 0};
      code |= bit(512 + lane * 8 + j / 32 * 4 + j % 4, places[j % 16 / 4] + j / 16 % 2) << 2;
    }
  }
  return code;
}

TEST(CudaDense, LayoutHoldsEveryCodeWhereThePageSays) {
  Rng rng(1);
  for (const int bits : {2, 3, 4, 8})
    for (const auto& [rows, cols, group] : {std::array{33, 200, 64}, {5, 64, 64}, {70, 130, 200}}) {
      const auto c = DenseCase::random(rng, rows, cols, bits, group);
      const auto layout = c.layout();
      for (int r = 0; r < rows; ++r)
        for (int j = 0; j < cols; ++j)
          ASSERT_EQ(code_of(layout, r, j), c.code(r, j)) << bits << " bits, " << r << ", " << j;
    }
}

TEST(CudaDense, RefusesGroupsThatCutTiles) {
  EXPECT_TRUE(DenseLayout::can_hold(4, 4096, 128));
  EXPECT_TRUE(DenseLayout::can_hold(2, 100, 100));
  EXPECT_FALSE(DenseLayout::can_hold(4, 4096, 32));
  EXPECT_FALSE(DenseLayout::can_hold(5, 4096, 128));
  EXPECT_FALSE(DenseLayout::can_hold(4, 0, 0));
}

// In 32 bits, against sums of 64.
TEST(CudaDense, SumsOfPiecesAreExact) {
  Rng rng(2);
  for_every_bits([&]<int kBits>() {
    for (const bool extreme : {false, true})
      for (const auto& [cols, group] : {std::pair{448, 64}, {512, 128}, {300, 300}, {1, 1}, {384, 192}}) {
        auto c = DenseCase::random(rng, 40, cols, kBits, group);
        auto x = random_inputs(rng, 1, cols);
        if (extreme) set_extreme(c, x);
        const auto layout = c.layout();
        const auto w = layout.view();
        auto in = emulate_inputs(w.piece_shape(), 1, x);
        for (int piece = 0; piece < w.pieces; ++piece)
          for (int row = 0; row < c.rows; ++row) {
            std::int64_t sum = 0;
            const int columns = w.piece_shape().columns;
            for (int j = piece * columns; j < std::min(cols, (piece + 1) * columns); ++j)
              sum += std::int64_t{c.code(row, j)} * in.value(0, j);
            PieceSum<kBits> product;
            product.add_piece(w, in.view(), row / 32, piece, row % 32);
            ASSERT_EQ(product.total(), sum);
          }
      }
  });
}

// y against the product in double: inputs are within 2^-16 of the largest in 128 columns.
void expect_product(const DenseCase& c, const std::vector<float>& x, const std::vector<float>& y) {
  for (std::size_t t = 0; t < y.size() / static_cast<std::size_t>(c.rows); ++t)
    for (int r = 0; r < c.rows; ++r) {
      const float* xt = x.data() + t * static_cast<std::size_t>(c.cols);
      double sum = extra_product(c.extras, r, xt, [&](int row, int j) { return c.step(row, j); }), bound = 0, all = 0;
      for (int begin = 0; begin < c.cols; begin += 128) {
        double most = 0, weights = 0;
        for (int j = begin; j < std::min(c.cols, begin + 128); ++j) {
          sum += c.weight(r, j) * xt[j];
          most = std::max(most, std::abs(static_cast<double>(xt[j]))), weights += std::abs(c.weight(r, j));
          all += std::abs(c.weight(r, j) * xt[j]);
        }
        bound += most * weights / (2 * kLargestInput);
      }
      if (!c.extras.row_steps.empty()) sum *= c.extras.row_steps[static_cast<std::size_t>(r)];
      ASSERT_NEAR(y[t * static_cast<std::size_t>(c.rows) + static_cast<std::size_t>(r)], sum,
                  1.5 * bound + 1e-5 * all + 1e-3)
          << "token " << t << ", row " << r;
    }
}

TEST(CudaDense, ProductsOfAnyShapeWithListsAndKeptColumns) {
  Rng rng(3);
  for_every_bits([&]<int kBits>() {
    for (const auto& [rows, cols, group] : {std::array{64, 512, 128}, {33, 200, 64}, {1, 1, 1}, {40, 700, 700}}) {
      auto c = DenseCase::random(rng, rows, cols, kBits, group);
      for (const bool extras : {false, true}) {
        if (extras) c.extras = random_extras(rng, rows, cols, 0.01, std::min(cols, 3), true);
        const auto layout = c.layout();
        auto w = layout.view();
        w.extras = c.extras.view();
        auto in = emulate_inputs(w.piece_shape(), 1, random_inputs(rng, 1, cols));
        const auto y = emulate_dense<kBits, 0>(w, in.view(), 4);
        expect_product(c, in.x, y);
        EXPECT_EQ(y, (emulate_dense<kBits, 0>(w, in.view(), 4, true)));
      }
    }
  });
}

template <int kBits, int kBlocks>
void expect_tokens_as_one_by_one(Rng& rng, int tokens) {
  for (const auto& [rows, cols, group] : {std::array{64, 512, 128}, {37, 200, 64}}) {
    auto c = DenseCase::random(rng, rows, cols, kBits, group);
    c.extras = random_extras(rng, rows, cols, 0.01, 2, false);
    const auto layout = c.layout();
    auto w = layout.view();
    w.extras = c.extras.view();
    auto in = emulate_inputs(w.piece_shape(), tokens, random_inputs(rng, tokens, cols));
    const auto y = emulate_dense<kBits, kBlocks>(w, in.view(), 3);
    EXPECT_EQ(y, (emulate_dense<kBits, kBlocks>(w, in.view(), 3, true)));
    for (int t = 0; t < tokens; ++t) {
      auto one = emulate_inputs(w.piece_shape(), 1, {in.x.begin() + t * cols, in.x.begin() + (t + 1) * cols});
      const std::vector<float> row(y.begin() + t * rows, y.begin() + (t + 1) * rows);
      ASSERT_EQ(row, (emulate_dense<kBits, 0>(w, one.view(), 3))) << kBits << " bits, token " << t << " of " << tokens;
    }
  }
}

// To the last bit: the sums are exact and everything after them happens in the same order.
TEST(CudaDense, TensorCoresGiveWhatTokensGiveOneByOne) {
  Rng rng(4);
  for_every_bits([&]<int kBits>() {
    for (const int tokens : {1, 2, 8}) expect_tokens_as_one_by_one<kBits, 1>(rng, tokens);
    for (const int tokens : {9, 16}) expect_tokens_as_one_by_one<kBits, 2>(rng, tokens);
    for (const int tokens : {17, 32}) expect_tokens_as_one_by_one<kBits, 4>(rng, tokens);
  });
}

}  // namespace
}  // namespace nearplane::cuda
