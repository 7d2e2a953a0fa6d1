#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "transformer/vector_ops.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>
#include <type_traits>

#include "tensor/half.h"
#include "transformer/vector_ops.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Full = hn::ScalableTag<float>;
using One = hn::FixedTag<float, 1>;

// body(tag, i) for whole vectors, then for the rest one element at a time: same operations, no read beyond n.
template <class Body>
HWY_INLINE void ForEach(std::int64_t n, const Body& body) {
  const Full d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) body(d, i);
  for (; i < n; ++i) body(One(), i);
}

// exp(x) = 2^k e^r with k = round(x / ln 2), |r| <= ln 2 / 2, and the Taylor polynomial of degree 7 (truncation 6e-9).
// Results below the smallest normal f32 are 0; x above 88.37 gives exp(88.37).
template <class D>
HWY_INLINE hn::Vec<D> Exp(D d, hn::Vec<D> x) {
  const hn::RebindToSigned<D> di;
  const auto low = hn::Set(d, -87.33f);
  const auto number = hn::IfThenElse(hn::IsNaN(x), low, x);
  const auto clamped = hn::Min(hn::Max(number, low), hn::Set(d, 88.37f));
  const auto k = hn::NearestInt(hn::Mul(clamped, hn::Set(d, 1.44269504f)));
  const auto kf = hn::ConvertTo(d, k);
  auto r = hn::NegMulAdd(kf, hn::Set(d, 0.693359375f), clamped);  // ln 2 in two parts, the first exact times k
  r = hn::NegMulAdd(kf, hn::Set(d, -2.12194440e-4f), r);
  auto p = hn::Set(d, 1.0f / 5040);
  for (const float c : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
    p = hn::MulAdd(p, r, hn::Set(d, c));
  const auto power = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(k, hn::Set(di, 127))));
  return hn::IfThenElse(hn::IsNaN(x), x, hn::IfThenZeroElse(hn::Lt(x, low), hn::Mul(p, power)));
}

float MaxOf(const float* x, std::int64_t n) {
  const Full d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  float best = x[0];
  std::int64_t i = 0;
  if (n >= lanes) {
    auto m = hn::LoadU(d, x);
    for (i = lanes; i + lanes <= n; i += lanes) m = hn::Max(m, hn::LoadU(d, x + i));
    best = hn::GetLane(hn::MaxOfLanes(d, m));
  }
  for (; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

float ExpShifted(float* x, std::int64_t n, float shift) {
  auto sum = hn::Zero(Full());
  float rest = 0;
  ForEach(n, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto e = Exp(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, shift)));
    hn::StoreU(e, d, x + i);
    if constexpr (std::is_same_v<decltype(d), Full>)
      sum = hn::Add(sum, e);
    else
      rest += hn::GetLane(e);
  });
  return hn::GetLane(hn::SumOfLanes(Full(), sum)) + rest;
}

void SiluTimes(float* gate, const float* up, std::int64_t n) {
  ForEach(n, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto g = hn::LoadU(d, gate + i);
    const auto silu = hn::Div(g, hn::Add(hn::Set(d, 1.0f), Exp(d, hn::Neg(g))));
    hn::StoreU(hn::Mul(silu, hn::LoadU(d, up + i)), d, gate + i);
  });
}

void SiluTimesBackward(float* gate, float* up, const float* dm, std::int64_t n) {
  ForEach(n, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto one = hn::Set(d, 1.0f);
    const auto g = hn::LoadU(d, gate + i), u = hn::LoadU(d, up + i), dy = hn::LoadU(d, dm + i);
    const auto s = hn::Div(one, hn::Add(one, Exp(d, hn::Neg(g))));
    hn::StoreU(hn::Mul(dy, hn::Mul(g, s)), d, up + i);
    hn::StoreU(hn::Mul(hn::Mul(dy, u), hn::Mul(s, hn::MulAdd(g, hn::Sub(one, s), one))), d, gate + i);
  });
}

void SoftmaxBackward(const float* p, float* dp, std::int64_t n, float mean) {
  ForEach(n, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto centred = hn::Sub(hn::LoadU(d, dp + i), hn::Set(d, mean));
    hn::StoreU(hn::Mul(hn::LoadU(d, p + i), centred), d, dp + i);
  });
}

void Scale(float* x, std::int64_t n, float factor) {
  ForEach(n, [&](auto d, std::int64_t i)
                 HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, x + i), hn::Set(d, factor)), d, x + i); });
}

void Add(float* x, const float* y, std::int64_t n) {
  ForEach(n, [&](auto d, std::int64_t i)
                 HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, x + i); });
}

// Four sums in flight: one would wait for the latency of the multiply-add.
float Dot(const float* a, const float* b, std::int64_t n) {
  const Full d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  const auto step = [&](auto sum, std::int64_t i)
                        HWY_ATTR { return hn::MulAdd(hn::LoadU(d, a + i), hn::LoadU(d, b + i), sum); };
  std::int64_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = step(s0, i), s1 = step(s1, i + lanes);
    s2 = step(s2, i + 2 * lanes), s3 = step(s3, i + 3 * lanes);
  }
  for (; i + lanes <= n; i += lanes) s0 = step(s0, i);
  float sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

double InverseRms(const float* x, std::int64_t n, double eps) {
  return 1.0 / std::sqrt(static_cast<double>(Dot(x, x, n)) / static_cast<double>(n) + eps);
}

void RmsNormRow(const float* x, const float* weight, std::int64_t n, double eps, float* out) {
  const auto inverse = static_cast<float>(InverseRms(x, n, eps));
  ForEach(n, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto normed = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, inverse));
    hn::StoreU(hn::Mul(normed, hn::LoadU(d, weight + i)), d, out + i);
  });
}

void RmsNormRowBackward(const float* x, const float* weight, std::int64_t n, double eps, float* dy) {
  ForEach(n, [&](auto d, std::int64_t i)
                 HWY_ATTR { hn::StoreU(hn::Mul(hn::LoadU(d, dy + i), hn::LoadU(d, weight + i)), d, dy + i); });
  const double r = InverseRms(x, n, eps);
  const auto along = static_cast<float>(r * r * r * static_cast<double>(Dot(x, dy, n)) / static_cast<double>(n));
  ForEach(n, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto scaled = hn::Mul(hn::LoadU(d, dy + i), hn::Set(d, static_cast<float>(r)));
    hn::StoreU(hn::NegMulAdd(hn::LoadU(d, x + i), hn::Set(d, along), scaled), d, dy + i);
  });
}

void RotateHalves(float* x, const float* cos, const float* sin, std::int64_t half) {
  ForEach(half, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto c = hn::LoadU(d, cos + i), s = hn::LoadU(d, sin + i);
    const auto a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + half + i);
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, x + i);
    hn::StoreU(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), d, x + half + i);
  });
}

// The bits of bf16 in the upper half; the same rules as f32_to_bf16.
template <class D>
HWY_INLINE auto RoundedBits(D d, const float* x) {
  const hn::RebindToUnsigned<D> du;
  const auto v = hn::LoadU(d, x);
  const auto u = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(u), hn::Set(du, 1u));
  const auto rounded = hn::Add(u, hn::Add(hn::Set(du, 0x7fffu), odd));
  const auto quiet_nan = hn::Or(u, hn::Set(du, 0x400000u));
  return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet_nan, rounded);
}

void RoundBf16(const float* x, std::int64_t n, float* out) {
  ForEach(n, [&](auto d, std::int64_t i) HWY_ATTR {
    const hn::RebindToUnsigned<decltype(d)> du;
    hn::StoreU(hn::BitCast(d, hn::And(RoundedBits(d, x + i), hn::Set(du, 0xffff0000u))), d, out + i);
  });
}

void ToBf16(const float* x, std::int64_t n, std::uint16_t* out) {
  const Full d;
  const hn::Rebind<std::uint16_t, Full> du16;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes)
    hn::StoreU(hn::TruncateTo(du16, hn::ShiftRight<16>(RoundedBits(d, x + i))), du16, out + i);
  for (; i < n; ++i) out[i] = f32_to_bf16(x[i]);
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nearplane {
namespace {
HWY_EXPORT(MaxOf);
HWY_EXPORT(ExpShifted);
HWY_EXPORT(SiluTimes);
HWY_EXPORT(SiluTimesBackward);
HWY_EXPORT(SoftmaxBackward);
HWY_EXPORT(Scale);
HWY_EXPORT(Add);
HWY_EXPORT(Dot);
HWY_EXPORT(RmsNormRow);
HWY_EXPORT(RmsNormRowBackward);
HWY_EXPORT(RotateHalves);
HWY_EXPORT(RoundBf16);
HWY_EXPORT(ToBf16);
}  // namespace

float max_of(const float* x, std::int64_t n) { return HWY_DYNAMIC_DISPATCH(MaxOf)(x, n); }
float exp_shifted(float* x, std::int64_t n, float shift) { return HWY_DYNAMIC_DISPATCH(ExpShifted)(x, n, shift); }
void silu_times(float* gate, const float* up, std::int64_t n) { HWY_DYNAMIC_DISPATCH(SiluTimes)(gate, up, n); }
void silu_times_backward(float* gate, float* up, const float* dm, std::int64_t n) {
  HWY_DYNAMIC_DISPATCH(SiluTimesBackward)(gate, up, dm, n);
}
void softmax_backward(const float* p, float* dp, std::int64_t n, float mean) {
  HWY_DYNAMIC_DISPATCH(SoftmaxBackward)(p, dp, n, mean);
}
void scale(float* x, std::int64_t n, float factor) { HWY_DYNAMIC_DISPATCH(Scale)(x, n, factor); }
void add(float* x, const float* y, std::int64_t n) { HWY_DYNAMIC_DISPATCH(Add)(x, y, n); }
float dot(const float* a, const float* b, std::int64_t n) { return HWY_DYNAMIC_DISPATCH(Dot)(a, b, n); }
void rms_norm_row(const float* x, const float* weight, std::int64_t n, double eps, float* out) {
  HWY_DYNAMIC_DISPATCH(RmsNormRow)(x, weight, n, eps, out);
}
void rms_norm_row_backward(const float* x, const float* weight, std::int64_t n, double eps, float* dy) {
  HWY_DYNAMIC_DISPATCH(RmsNormRowBackward)(x, weight, n, eps, dy);
}
void rotate_halves(float* x, const float* cos, const float* sin, std::int64_t half) {
  HWY_DYNAMIC_DISPATCH(RotateHalves)(x, cos, sin, half);
}
void round_bf16(const float* x, std::int64_t n, float* out) { HWY_DYNAMIC_DISPATCH(RoundBf16)(x, n, out); }
void to_bf16(const float* x, std::int64_t n, std::uint16_t* out) { HWY_DYNAMIC_DISPATCH(ToBf16)(x, n, out); }

}  // namespace nearplane
#endif
