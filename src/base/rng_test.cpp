#include "base/rng.h"

#include <gtest/gtest.h>

#include <array>

namespace nearplane {
namespace {

TEST(Rng, IsSplitMix64) {
  Rng rng(1234567);  // values published for the reference implementation
  for (const std::uint64_t expected : {6457827717110365317ull, 3203168211198807973ull, 9817491932198370423ull,
                                       4593380528125082431ull, 16408922859458223821ull})
    EXPECT_EQ(rng.bits(), expected);
  EXPECT_EQ(Rng(0).bits(), 0xe220a8397b1dcdafull);
}

TEST(Rng, UniformTakesTheHigh53Bits) {
  EXPECT_EQ(Rng(0).uniform(), 0x1.c4415072f63b9p-1);
  Rng rng(1);
  double sum = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double u = rng.uniform();
    ASSERT_TRUE(u >= 0 && u < 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 100'000, 0.5, 0.004);
}

TEST(Rng, BelowReachesEveryValueEquallyOften) {
  Rng rng(2);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70'000; ++i) ++counts.at(rng.below(7));
  for (const int c : counts) EXPECT_NEAR(c, 10'000, 400);
  EXPECT_EQ(rng.below(1), 0u);
}

TEST(Rng, NormalHasMeanZeroAndVarianceOne) {
  Rng rng(3);
  double sum = 0, squares = 0, fourth = 0;
  constexpr int kCount = 100'000;
  for (int i = 0; i < kCount; ++i) {
    const double x = rng.normal();
    sum += x, squares += x * x, fourth += x * x * x * x;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.013);
  EXPECT_NEAR(squares / kCount, 1, 0.02);
  EXPECT_NEAR(fourth / kCount, 3, 0.15);
}

}  // namespace
}  // namespace nearplane
