// The hot loop of the reference decode. Scale and zero point are f32 and code - zero is exact, so the product is the
// only rounding and every target gives the same bits.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "qtensor/dequantize.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "qtensor/dequantize.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void Dequantize(const std::uint8_t* codes, std::int64_t count, float scale, float zero, float* out) {
  const hn::ScalableTag<float> df;
  const hn::Rebind<std::uint8_t, decltype(df)> du8;
  const hn::Rebind<std::int32_t, decltype(df)> di;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(df));
  const auto s = hn::Set(df, scale), z = hn::Set(df, zero);
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    hn::StoreU(hn::Mul(s, hn::Sub(hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(du8, codes + i))), z)), df, out + i);
  for (; i < count; ++i) out[i] = scale * (static_cast<float>(codes[i]) - zero);
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nearplane {
HWY_EXPORT(Dequantize);

void dequantize(const std::uint8_t* codes, std::int64_t count, float scale, float zero, float* out) {
  HWY_DYNAMIC_DISPATCH(Dequantize)(codes, count, scale, zero, out);
}

}  // namespace nearplane
#endif
