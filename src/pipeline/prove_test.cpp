#include "nearplane/prove.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "pipeline/prove_layer.h"

namespace nearplane {
namespace {

TEST(Prove, EverythingThatMustAgreeAgrees) {
  Observer observer;
  ProveOptions options;
  options.rows = 1;
  for (const std::uint64_t seed : {0, 1, 2}) {
    options.seed = seed;
    const auto result = prove(options, observer);
    EXPECT_TRUE(result.passed) << seed;
    ASSERT_EQ(result.layers.size(), 4);
    EXPECT_EQ(result.layers[0].comparisons.size(), 6);
    EXPECT_EQ(result.layers[0].clipped, 0);
    EXPECT_GT(result.layers[1].clipped, 0);
    EXPECT_GT(result.layers[0].error, result.layers[0].limit);
    EXPECT_GT(result.exact_ties, 0);
    // Pivots move, their product does not.
    EXPECT_NEAR(result.orders.front().log2_pivot, result.orders.back().log2_pivot, 1e-9);
    EXPECT_GT(result.orders.front().pivot_sum, result.orders.back().pivot_sum);
    // The inverse of H costs GPTQ more digits than H costs nearest plane.
    EXPECT_GT(result.precision[3].gptq, 10 * result.precision[3].parameter_space);
    for (const auto& p : result.predictions) {
      if (p.bits < 3) continue;
      EXPECT_NEAR(p.rounding, p.rounding_measured, 0.1 * p.rounding) << p.bits;
      EXPECT_NEAR(p.nearest_plane, p.nearest_plane_measured, 0.1 * p.nearest_plane) << p.bits;
    }
  }
}

TEST(Prove, SeesADifference) {
  // Columns equal to four digits: the inverse of H has lost most of them, and the comparison must say so.
  EXPECT_FALSE(prove_layer(paired_case(4, 24, 4, 1), 8, 2).agrees);
  EXPECT_TRUE(prove_layer(random_case(4, 24, 1), 8, 2).agrees);
}

TEST(Prove, RefusesOptionsOutOfRange) {
  Observer observer;
  const auto refuses = [&](std::initializer_list<std::string> parts, const auto& change) {
    ProveOptions options;
    change(options);
    expect_error(ErrorCode::bad_input, parts, [&] { prove(options, observer); });
  };
  refuses({"rows", "0"}, [](auto& o) { o.rows = 0; });
  refuses({"columns", "1"}, [](auto& o) { o.columns = 1; });
  refuses({"layer", "model.layers.0"}, [](auto& o) { o.layer = "model.layers.0.self_attn.q_proj"; });
  refuses({"samples"}, [](auto& o) { o.calibration.samples = 0; });
  refuses({"/nowhere"}, [](auto& o) { o.model = "/nowhere"; });
}

}  // namespace
}  // namespace nearplane
