#include "runtime/packed_linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/threads.h"
#include "every_product.h"
#include "nearplane/machine.h"
#include "random_coded.h"
#include "random_quantized.h"
#include "random_sparse.h"
#include "tensor/decode.h"

namespace nearplane {
namespace {

Matrix<float> random_x(std::int64_t tokens, std::int64_t cols) {
  Rng rng(7);
  Matrix<float> x(tokens, cols);
  for (auto& v : x.span()) v = static_cast<float>(rng.normal());
  x(0, cols / 2) = 500;  // a massive activation must only be felt in its own piece
  return x;
}

std::vector<float> some_bias(std::int64_t rows) {
  std::vector<float> bias;
  for (std::int64_t r = 0; r < rows; ++r) bias.push_back(0.25f * static_cast<float>(r % 9));
  return bias;
}

Matrix<float> product(const Linear& linear, MatrixView<const float> x) {
  Matrix<float> y(x.rows, linear.out_features());
  linear.apply(x, y.view());
  return y;
}

// y against the product with decoded rows, in double. Activations are rounded to 2^-16 of the largest in 64 columns at
// most; `factors` are what columns are multiplied with before that.
void expect_product(MatrixView<const float> w, MatrixView<const float> x, const Linear& linear,
                    std::vector<float> factors = {}) {
  factors.resize(static_cast<std::size_t>(w.cols), 1);
  const auto y = product(linear, x);
  const auto bias = some_bias(w.rows);
  for (std::int64_t t = 0; t < x.rows; ++t)
    for (std::int64_t r = 0; r < w.rows; ++r) {
      double sum = bias[static_cast<std::size_t>(r)], bound = 0, largest = 0, all = 0;
      for (std::int64_t j = 0; j < w.cols; ++j) {
        sum += static_cast<double>(w(r, j)) * x(t, j);
        largest = std::max(largest, std::abs(static_cast<double>(w(r, j))));
        all += std::abs(static_cast<double>(x(t, j)));
      }
      for (std::int64_t begin = 0; begin < w.cols; begin += 64) {
        double most = 0, weights = 0;
        for (auto j = begin; j < std::min(w.cols, begin + 64); ++j) {
          const double f = factors[static_cast<std::size_t>(j)];
          most = std::max(most, f * std::abs(static_cast<double>(x(t, j))));
          weights += std::abs(static_cast<double>(w(r, j))) / f;
        }
        bound += most * weights / 65000;
      }
      ASSERT_NEAR(y(t, r), sum, bound + 2e-6 * largest * all + 1e-5) << "token " << t << ", row " << r;
    }
}

// The same to the last bit for any number of threads; for any number of tokens at once too, but where kernels for one
// and for several add up in another order, or cut activations into other pieces.
void expect_same_in_parts(const Linear& linear, MatrixView<const float> x) {
  const auto whole = product(linear, x);
  set_thread_count(3);
  const auto threads = product(linear, x);
  set_thread_count(0);
  EXPECT_EQ(std::memcmp(whole.data(), threads.data(), whole.span().size_bytes()), 0);
  const bool orders_differ = vector_target() == "amx" || vector_target() == "avx3_dl";
  float largest = 0;
  for (const float y : whole.span()) largest = std::max(largest, std::abs(y));
  for (const std::int64_t count : {1, 3}) {
    const auto some = product(linear, x.rows_at(4, count));
    if (!orders_differ) {
      ASSERT_EQ(std::memcmp(whole.row(4), some.data(), some.span().size_bytes()), 0);
    }
    for (std::int64_t t = 0; t < count; ++t)
      for (std::int64_t r = 0; r < some.cols(); ++r) ASSERT_NEAR(some(t, r), whole(4 + t, r), 2e-4 + 1e-6 * largest);
  }
}

Matrix<float> decoded(const QuantizedTensor& tensor) {
  Matrix<float> w(tensor.rows(), tensor.cols());
  tensor.decode_rows(0, tensor.rows(), w.data());
  return w;
}

TEST(PackedLinear, IntegerCodesOfAllBits) {
  for_every_product([] {
    for (int bits = 2; bits <= 8; ++bits)
      for (const auto& [cols, group] :
           {std::pair<std::int64_t, std::int64_t>{576, 64}, {200, 32}, {72, 24}, {300, 128}, {50, 50}, {7, 7}})
        for (const bool symmetric : {false, true}) {
          SCOPED_TRACE(fmt::format("{} bits, {} columns in groups of {}", bits, cols, group));
          const auto tensor = std::make_shared<QuantizedTensor>(random_quantized(37, cols, bits, group, symmetric, 3));
          const auto linear = make_packed_linear(pack_integer(tensor), some_bias(37));
          const auto x = random_x(3, cols);
          expect_product(decoded(*tensor).view(), x.view(), *linear);
        }
  });
}

TEST(PackedLinear, SparseCodesAndKeptColumns) {
  for_every_product([] {
    for (const int bits : {2, 3, 4})
      for (const auto& [cols, group] : {std::pair<std::int64_t, std::int64_t>{192, 64}, {100, 100}, {128, 16}}) {
        auto source = random_sparse(40, cols, bits, group, {0, 13, 99}, 2, 5);
        for (auto& s : source.step.span()) s = f16_to_f32(f32_to_f16(0.01f + 0.01f * s / 65504));
        const auto tensor = std::make_shared<QuantizedTensor>(source.pack());
        const auto linear = make_packed_linear(pack_sparse_codes(tensor), some_bias(40));
        expect_product(decoded(*tensor).view(), random_x(2, cols).view(), *linear);
      }
  });
}

// A few levels that no byte holds among the others.
CodedTensor coded_with_large_levels(int states) {
  Rng rng(11);
  LevelModel model;
  model.trellis = *find_trellis(states), model.restart = 144;
  model.row.assign(70, 64), model.column.assign(330, 64);
  std::vector<std::int16_t> levels;
  for (int i = 0; i < 70 * 330; ++i)
    levels.push_back(static_cast<std::int16_t>(rng.below(300) == 0 ? 400 * rng.normal() : 1.5 * rng.normal()));
  CodedTensor t;
  t.rows = 70, t.cols = 330, t.step = 0.02f;
  t.levels.emplace(encode_levels(model, fit_tables(model, levels), levels), model.column, "large");
  return t;
}

TEST(PackedLinear, EntropyCodedLevelsInBothForms) {
  for_every_product([] {
    for (const int states : {1, 4, 8, 16})
      for (const auto form : {CodedForm::tuples, CodedForm::expanded}) {
        SCOPED_TRACE(fmt::format("{} states, form {}", states, static_cast<int>(form)));
        for (const auto& t : {random_coded(130, 150, states, true, 1), random_coded(9, 40, states, false, 2),
                              coded_with_large_levels(states)}) {
          std::vector<float> factors;
          for (const auto code : t.column_steps) factors.push_back(step_scale(code));
          const auto linear = make_packed_linear(pack_coded(t, form), some_bias(t.rows));
          expect_product(decoded(QuantizedTensor(t)).view(), random_x(2, t.cols).view(), *linear, factors);
        }
      }
  });
}

TEST(PackedLinear, BlocksOfGgml) {
  Rng rng(4);
  for_every_product([&] {
    for (const auto type : {DType::q4_0, DType::q4_1, DType::q8_0}) {
      const auto block = dtype_info(type).block_bytes;
      std::vector<std::byte> bytes(static_cast<std::size_t>(21 * 3 * block));
      for (auto& b : bytes) b = static_cast<std::byte>(rng.below(256));
      for (std::int64_t i = 0; i < 21 * 3; ++i) {
        const auto scale = f32_to_f16(static_cast<float>(0.01 + rng.uniform()));
        std::memcpy(bytes.data() + i * block, &scale, 2);
        if (type == DType::q4_1) std::memcpy(bytes.data() + i * block + 2, &scale, 2);
      }
      const StoredTensor tensor{"w", type, {21, 96}, bytes, "test"};
      Matrix<float> w(21, 96);
      decode_f32(type, bytes.data(), w.size(), w.data());
      const auto x = random_x(3, 96);
      expect_product(w.view(), x.view(), *make_packed_linear(pack_blocks(tensor), some_bias(21)));
      std::vector<std::int64_t> backwards;
      Matrix<float> turned(21, 96);
      for (std::int64_t r = 0; r < 21; ++r) {
        backwards.push_back(20 - r);
        std::copy_n(w.row(20 - r), 96, turned.row(r));
      }
      expect_product(turned.view(), x.view(), *make_packed_linear(pack_blocks(tensor, backwards), some_bias(21)));
    }
  });
}

TEST(PackedLinear, DoesNotDependOnThreadsOrOnHowManyTokensComeAtOnce) {
  const auto x = random_x(45, 576);
  for_every_product([&] {
    const auto integer = std::make_shared<QuantizedTensor>(random_quantized(300, 576, 3, 64, false, 3));
    expect_same_in_parts(*make_packed_linear(pack_integer(integer), {}), x.view());
    const auto coded = random_coded(300, 576, 4, true, 1);
    expect_same_in_parts(*make_packed_linear(pack_coded(coded, CodedForm::tuples), {}), x.view());
  });
}

TEST(PackedLinear, LeavesAloneWhatItsKernelsCannotCut) {
  EXPECT_EQ(pack_integer(std::make_shared<QuantizedTensor>(random_quantized(4, 30, 4, 10, false, 1))), nullptr);
  EXPECT_EQ(pack_blocks({"w", DType::f16, {1, 32}, {}, "test"}), nullptr);
  EXPECT_EQ(pack_blocks({"w", DType::f32, {1, 32}, {}, "test"}), nullptr);
}

}  // namespace
}  // namespace nearplane
