#include "transformer/vector_ops.h"

#include <gtest/gtest.h>

#include <hwy/highway.h>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "derivative.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

const std::vector<std::int64_t> kSizes{1, 2, 3, 7, 8, 9, 15, 16, 31, 33, 64, 100, 577};

// Runs the test on every vector target this machine has.
void on_every_target(const std::function<void()>& test) {
  int targets = 0;
  const auto all = hwy::SupportedTargets();
  for (auto left = all; left != 0; left &= left - 1, ++targets) {
    const auto target = left & -left;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    test();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  EXPECT_GE(targets, 1);
}

std::vector<float> random_values(std::int64_t n, std::uint64_t seed, double scale = 1) {
  Rng rng(seed);
  std::vector<float> out(static_cast<std::size_t>(n));
  for (auto& v : out) v = static_cast<float>(scale * rng.normal());
  return out;
}

TEST(VectorOps, MaxOf) {
  on_every_target([] {
    for (const auto n : kSizes) {
      auto x = random_values(n, 1);
      for (auto& v : x) v -= 10;  // a padding zero would win
      EXPECT_EQ(max_of(x.data(), n), *std::max_element(x.begin(), x.end())) << n;
    }
  });
}

TEST(VectorOps, ExpShiftedIsWithinItsBound) {
  on_every_target([] {
    std::vector<float> x;
    for (double v = -87.3; v < 88; v += 0.00137) x.push_back(static_cast<float>(v));
    const auto exact = x;
    exp_shifted(x.data(), std::ssize(x), 0);
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
      worst = std::max(worst, std::abs(x[i] / std::exp(static_cast<double>(exact[i])) - 1));
    EXPECT_LT(worst, 3e-7);
  });
}

TEST(VectorOps, ExpShiftedSumsAndShifts) {
  on_every_target([] {
    for (const auto n : kSizes) {
      auto x = random_values(n, 2, 3);
      const auto source = x;
      const float sum = exp_shifted(x.data(), n, 1.5f);
      double expected = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        expected += std::exp(source[i] - 1.5);
        EXPECT_NEAR(x[i], std::exp(source[i] - 1.5), 1e-6 * x[i]);
      }
      EXPECT_NEAR(sum, expected, 1e-6 * expected) << n;
    }
  });
}

TEST(VectorOps, ExpAtTheEnds) {
  on_every_target([] {
    const float inf = std::numeric_limits<float>::infinity();
    std::vector<float> x{0, -88, -1e30f, -inf, 88, std::nanf("")};
    x.resize(9, 0);  // past one vector of eight
    x[8] = std::nanf("");
    EXPECT_TRUE(std::isnan(exp_shifted(x.data(), 9, 0)));
    EXPECT_EQ(x[0], 1.0f);
    EXPECT_EQ(x[1], 0.0f);
    EXPECT_EQ(x[2], 0.0f);
    EXPECT_EQ(x[3], 0.0f);
    EXPECT_NEAR(x[4] / std::exp(88.0), 1, 3e-7);
    EXPECT_TRUE(std::isnan(x[5]));
    EXPECT_TRUE(std::isnan(x[8]));
  });
}

TEST(VectorOps, SiluTimes) {
  on_every_target([] {
    for (const auto n : kSizes) {
      auto gate = random_values(n, 3, 12);
      const auto source = gate, up = random_values(n, 4);
      silu_times(gate.data(), up.data(), n);
      for (std::size_t i = 0; i < gate.size(); ++i) {
        const double expected = source[i] / (1 + std::exp(-static_cast<double>(source[i]))) * up[i];
        EXPECT_NEAR(gate[i], expected, 1e-6 * std::abs(expected)) << source[i];
      }
    }
    std::vector<float> far{-200, 200, 0}, one{1, 1, 1};
    silu_times(far.data(), one.data(), 3);
    EXPECT_NEAR(far[0], 0, 1e-35);
    EXPECT_EQ(far[1], 200);
    EXPECT_EQ(far[2], 0);
  });
}

TEST(VectorOps, SiluTimesBackwardIsItsDerivative) {
  on_every_target([] {
    for (const auto n : kSizes) {
      auto gate = random_values(n, 3, 4), up = random_values(n, 4);
      const auto gate_in = gate, up_in = up, dm = random_values(n, 5);
      silu_times_backward(gate.data(), up.data(), dm.data(), n);
      for (std::size_t i = 0; i < gate.size(); ++i) {
        double g = gate_in[i], u = up_in[i];
        const auto loss = [&] { return dm[i] * g / (1 + std::exp(-g)) * u; };
        const double tolerance = 1e-6 * std::abs(dm[i]) * (1 + std::abs(g)) * (1 + std::abs(u));
        EXPECT_NEAR(gate[i], derivative(loss, g), tolerance) << gate_in[i];
        EXPECT_NEAR(up[i], derivative(loss, u), tolerance) << gate_in[i];
      }
    }
    std::vector<float> far{-200, 200, 0}, one{1, 1, 1};
    silu_times_backward(far.data(), one.data(), std::vector<float>{1, 1, 1}.data(), 3);
    EXPECT_NEAR(far[0], 0, 1e-35);
    EXPECT_EQ(far[1], 1);
    EXPECT_EQ(far[2], 0.5f);
  });
}

TEST(VectorOps, SoftmaxBackward) {
  on_every_target([] {
    for (const auto n : kSizes) {
      const auto p = random_values(n, 6), source = random_values(n, 7);
      auto dp = source;
      softmax_backward(p.data(), dp.data(), n, 0.3f);
      for (std::size_t i = 0; i < dp.size(); ++i)
        EXPECT_NEAR(dp[i], p[i] * (source[i] - 0.3f), 1e-6 * std::abs(p[i]) * (1 + std::abs(source[i])));
    }
  });
}

TEST(VectorOps, DotScaleAdd) {
  on_every_target([] {
    for (const auto n : kSizes) {
      auto a = random_values(n, 5);
      const auto b = random_values(n, 6), source = a;
      double expected = 0, size = 0;
      for (std::size_t i = 0; i < a.size(); ++i) {
        expected += static_cast<double>(a[i]) * b[i];
        size += std::abs(static_cast<double>(a[i]) * b[i]);
      }
      EXPECT_NEAR(dot(a.data(), b.data(), n), expected, 1e-6 * size) << n;
      scale(a.data(), n, 0.3f);
      add(a.data(), b.data(), n);
      for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i], source[i] * 0.3f + b[i]);
    }
  });
}

TEST(VectorOps, RmsNormRow) {
  on_every_target([] {
    for (const auto n : kSizes) {
      auto x = random_values(n, 7, 5);
      const auto weight = random_values(n, 8), source = x;
      double mean = 0;
      for (const auto v : x) mean += static_cast<double>(v) * v / static_cast<double>(n);
      rms_norm_row(x.data(), weight.data(), n, 1e-3, x.data());
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double expected = source[i] / std::sqrt(mean + 1e-3) * weight[i];
        EXPECT_NEAR(x[i], expected, 1e-6 * std::abs(expected)) << n;
      }
    }
  });
}

TEST(VectorOps, RmsNormRowBackwardIsItsDerivative) {
  on_every_target([] {
    for (const auto n : kSizes) {
      const auto source = random_values(n, 7, 2), weight = random_values(n, 8), dy = random_values(n, 9);
      auto dx = dy;
      rms_norm_row_backward(source.data(), weight.data(), n, 1e-3, dx.data());
      std::vector<double> x(source.begin(), source.end());
      const auto loss = [&] {
        double squares = 0, along = 0;
        for (std::size_t i = 0; i < x.size(); ++i) squares += x[i] * x[i], along += x[i] * weight[i] * dy[i];
        return along / std::sqrt(squares / static_cast<double>(n) + 1e-3);
      };
      for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(dx[i], derivative(loss, x[i]), 3e-6) << n;
    }
  });
}

TEST(VectorOps, RotateHalvesTurnsPairs) {
  on_every_target([] {
    for (const std::int64_t half : {1, 4, 6, 8, 32, 48}) {
      auto x = random_values(2 * half, 9);
      const auto source = x;
      std::vector<float> cos, sin;
      for (std::int64_t i = 0; i < half; ++i) {
        cos.push_back(static_cast<float>(std::cos(0.1 + static_cast<double>(i))));
        sin.push_back(static_cast<float>(std::sin(0.1 + static_cast<double>(i))));
      }
      rotate_halves(x.data(), cos.data(), sin.data(), half);
      for (std::size_t i = 0, j = cos.size(); i < cos.size(); ++i, ++j) {
        EXPECT_NEAR(x[i], source[i] * cos[i] - source[j] * sin[i], 1e-6);
        EXPECT_NEAR(x[j], source[j] * cos[i] + source[i] * sin[i], 1e-6);
      }
    }
  });
}

TEST(VectorOps, Bf16RoundsAsTheScalarCode) {
  on_every_target([] {
    for (const auto n : kSizes) {
      auto x = random_values(n, 10);
      x[0] = std::bit_cast<float>(0x3f808000u);  // a tie: to even
      if (n > 1) x[1] = std::bit_cast<float>(0x3f818000u);
      if (n > 2) x[2] = std::numeric_limits<float>::max();
      if (n > 3) x[3] = std::bit_cast<float>(0x7f800001u);  // NaN whose payload lies in the lost bits
      std::vector<float> wide(x.size());
      std::vector<std::uint16_t> narrow(x.size());
      round_bf16(x.data(), n, wide.data());
      to_bf16(x.data(), n, narrow.data());
      for (std::size_t i = 0; i < x.size(); ++i) {
        EXPECT_EQ(narrow[i], f32_to_bf16(x[i]));
        EXPECT_EQ(std::bit_cast<std::uint32_t>(wide[i]), static_cast<std::uint32_t>(narrow[i]) << 16);
      }
    }
  });
}

}  // namespace
}  // namespace nearplane
