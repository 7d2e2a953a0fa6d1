#include "qtensor/coded_tensor.h"

#include <gtest/gtest.h>

#include <cmath>

#include "expect_error.h"
#include "random_coded.h"

namespace nearplane {
namespace {

TEST(CodedTensor, StepsAreEighthsOfAnOctave) {
  EXPECT_EQ(step_scale(kUnitStep), 1.0f);
  for (int code = 0; code < 256; ++code)
    EXPECT_EQ(step_scale(static_cast<std::uint8_t>(code)), static_cast<float>(std::exp2((code - 128) / 8.0))) << code;
}

TEST(CodedTensor, DecodesAKnownRow) {
  LevelModel model;
  model.trellis = *find_trellis(4);
  model.row = {70};
  model.column = column_classes({128, 136, 120}, 3);
  EXPECT_EQ(model.column, (std::vector{64, 68, 60}));
  CodedTensor t;
  t.rows = 1, t.cols = 3, t.step = 0.5f, t.row_steps = {144}, t.column_steps = {128, 136, 120};
  const std::vector<std::int16_t> levels{1, -1, 3};  // states 0, 1, 3: points 2, -1, 5
  t.levels.emplace(encode_levels(model, fit_tables(model, levels), levels), model.column, "t");
  t.validate("t");
  std::array<float, 3> out{};
  t.decode_rows(0, 1, out.data());
  EXPECT_EQ(out, (std::array{4.0f, -4.0f, 5.0f}));
}

TEST(CodedTensor, DecodesAsThePlainFormulaSays) {
  for (const int states : {1, 8})
    for (const bool steps : {false, true}) {
      const auto t = random_coded(130, 150, states, steps, 1);
      t.validate("t");
      EXPECT_EQ(t.stored_bytes(), 4 + (steps ? 280 : 0) + std::ssize(t.levels->bytes()));
      std::vector<float> out(60 * 150);
      std::vector<std::int32_t> points(out.size());
      t.decode_rows(50, 60, out.data());
      t.levels->decode(50, 60, points.data());
      for (std::size_t k = 0; k < out.size(); ++k) {
        const float r = steps ? step_scale(t.row_steps[50 + k / 150]) : 1.0f;
        const float a = steps ? t.step * step_scale(t.column_steps[k % 150]) : t.step;
        ASSERT_EQ(out[k], r * a * static_cast<float>(points[k]));
      }
    }
}

TEST(CodedTensor, ValidationNamesWhatIsWrong) {
  const auto good = random_coded(3, 40, 4, true, 2);
  EXPECT_NO_THROW(good.validate("layer"));
  const auto bad = [&](std::initializer_list<std::string> parts, const auto& change) {
    auto t = good;
    change(t);
    expect_error(ErrorCode::bad_input, {"layer: "}, [&] { t.validate("layer"); });
    expect_error(ErrorCode::bad_input, parts, [&] { t.validate("layer"); });
  };
  bad({"0 x 40"}, [](auto& t) { t.rows = 0; });
  for (const float step : {0.0f, -1.0f, NAN, INFINITY, 1e-30f, 1e20f})
    bad({"step", "outside"}, [&](auto& t) { t.step = step; });
  bad({"row_steps has 2", "3"}, [](auto& t) { t.row_steps.pop_back(); });
  bad({"column_steps has 39", "40"}, [](auto& t) { t.column_steps.pop_back(); });
  bad({"no levels"}, [](auto& t) { t.levels.reset(); });
  bad({"3 x 40", "4 x 40"}, [](auto& t) { t.rows = 4, t.row_steps.push_back(128); });
}

}  // namespace
}  // namespace nearplane
