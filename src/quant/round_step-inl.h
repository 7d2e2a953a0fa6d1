// Steps as engines store them. Included once for every vector target (Highway's -inl.h).
#if defined(NEARPLANE_ROUND_STEP_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NEARPLANE_ROUND_STEP_INL_H
#undef NEARPLANE_ROUND_STEP_INL_H
#else
#define NEARPLANE_ROUND_STEP_INL_H
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// To the nearest f16 (ties to even), from the smallest normal one up; not capped above.
template <class D>
HWY_INLINE hn::Vec<D> RoundStep(D d, hn::Vec<D> step) {
  const hn::RebindToUnsigned<D> du;
  using U = hn::TFromD<decltype(du)>;
  constexpr int kDropped = sizeof(U) == 4 ? 13 : 42;  // bits of the mantissa that f16 has not
  constexpr U kBelowHalf = (U{1} << (kDropped - 1)) - 1, kRest = (U{1} << kDropped) - 1;
  const auto u = hn::BitCast(du, hn::Max(step, hn::Set(d, static_cast<hn::TFromD<D>>(0x1p-14))));
  const auto odd = hn::And(hn::ShiftRight<kDropped>(u), hn::Set(du, U{1}));
  return hn::BitCast(d, hn::AndNot(hn::Set(du, kRest), hn::Add(u, hn::Add(odd, hn::Set(du, kBelowHalf)))));
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#endif
