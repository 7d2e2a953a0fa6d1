#include "qtensor/rotated_tensor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "qtensor/quantized_tensor.h"
#include "random_rotated.h"

namespace nearplane {
namespace {

// A seed whose first two words leave the first coordinate of either side as it is.
std::uint64_t plain_seed() {
  for (std::uint64_t seed = 0;; ++seed) {
    Rng rng(seed);
    if ((rng.bits() & 3) == 0 && (rng.bits() & 3) == 0) return seed;
  }
}

TEST(RotatedTensor, DecodesAKnownMatrix) {
  RotatedTensor t;
  t.rows = 2, t.cols = 2, t.bits = 2, t.seed = plain_seed(), t.step = 2;
  t.codes = {std::byte{0b1101}, std::byte{0b1000}};  // rows 1, 3 and 0, 2: Z = (-1, 3), (-3, 1)
  t.validate("t");
  EXPECT_EQ(t.stored_bytes(), 2 + 4 + 8);
  std::array<float, 4> z{}, q{};
  t.decode_rotated(0, 2, z.data());
  EXPECT_EQ(z, (std::array{-1.0f, 3.0f, -3.0f, 1.0f}));
  t.decode_rows(0, 2, q.data());  // S Z S / 2 with S = (1, 1), (1, -1)
  const std::array expected{0.0f, -4.0f, 2.0f, 0.0f};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(q[i], expected[i], 1e-6f) << i;
}

TEST(RotatedTensor, DecodesAsThePlainFormulaSays) {
  for (const auto& [m, n] : {std::pair{1, 1}, {1, 20}, {48, 1}, {24, 60}}) {
    const auto t = random_rotated(m, n, 3, 5);
    t.validate("t");
    const QuantizedTensor q = t;
    const auto all = q.decode();
    // U Q V^T is Z again.
    auto z = Matrix<float>::uninitialized(m, n);
    t.decode_rotated(0, m, z.data());
    const auto rotation = t.rotations();
    auto back = all.clone();
    rotate_rows(rotation.in, back.view());
    auto columns = transposed(back);
    rotate_rows(rotation.out, columns.view());
    back = transposed(columns);
    for (std::int64_t i = 0; i < z.size(); ++i) EXPECT_NEAR(back.data()[i], z.data()[i], 1e-5f);
    // Single rows are those of the whole.
    std::vector<float> row(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < m; i += 7) {
      q.decode_rows(i, 1, row.data());
      EXPECT_TRUE(std::equal(row.begin(), row.end(), all.row(i)));
    }
  }
}

TEST(RotatedTensor, ValidationNamesWhatIsWrong) {
  const auto good = random_rotated(3, 40, 4, 2);
  EXPECT_NO_THROW(good.validate("layer"));
  const auto bad = [&](std::initializer_list<std::string> parts, const auto& change,
                       ErrorCode code = ErrorCode::bad_input) {
    auto t = good;
    change(t);
    expect_error(code, {"layer: "}, [&] { t.validate("layer"); });
    expect_error(code, parts, [&] { t.validate("layer"); });
  };
  bad({"0 x 40"}, [](auto& t) { t.rows = 0; });
  bad({"3 x -1"}, [](auto& t) { t.cols = -1; });
  bad({"1 bits"}, [](auto& t) { t.bits = 1; });
  bad({"9 bits"}, [](auto& t) { t.bits = 9; });
  bad({"codes has 59", "60"}, [](auto& t) { t.codes.pop_back(); });
  bad({"codes has 60", "80"}, [](auto& t) { t.rows = 4; });
  for (const float step : {0.0f, -1.0f, NAN, INFINITY, 1e-30f, 1e20f})
    bad({"step", "outside"}, [&](auto& t) { t.step = step; });
  bad(
      {"2050 coordinates", "1025", "1023"}, [](auto& t) { t.rows = 2050; }, ErrorCode::unsupported);
  bad(
      {"2147483647"}, [](auto& t) { t.cols = 2147483647; }, ErrorCode::unsupported);
}

}  // namespace
}  // namespace nearplane
