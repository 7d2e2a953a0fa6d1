#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/alternate_tile.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "quant/alternate_tile.h"
#include "quant/round_step-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t kVectors = 8;  // hides the latency of a multiply-add on two ports
template <class T>
using StripTag = hn::CappedTag<T, kAlternateRows / kVectors>;

// Column k of one vector of rows, whose gradient is g.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void Move(D d, const AlternateTile<hn::TFromD<D>>& tile, std::int64_t k, std::int64_t row, V inverse, V g) {
  const auto at = k * kAlternateRows + row;
  const V step = hn::Load(d, tile.step + row), code = hn::Load(d, tile.code + at);
  const V best = hn::Add(code, hn::Div(hn::Mul(g, inverse), step));
  const V rounded = hn::Clamp(hn::Round(best), hn::Zero(d), hn::Set(d, tile.max_code));
  const V moved = hn::IfThenElse(hn::Eq(best, best), rounded, code);  // beyond the range of T: stay
  const V q = hn::Mul(step, hn::Sub(moved, hn::Load(d, tile.zero + row)));
  const V difference = hn::Sub(hn::Load(d, tile.w + at), q);
  hn::Store(hn::Sub(difference, hn::Load(d, tile.difference + at)), d,
            tile.change + (k - tile.first) * kAlternateRows + row);
  hn::Store(difference, d, tile.difference + at);
  hn::Store(moved, d, tile.code + at);
}

template <class T>
HWY_INLINE void Descend(const AlternateTile<T>& tile, std::int64_t k0, std::int64_t k1) {
  const StripTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < kAlternateRows; row += kVectors * lanes)
    for (std::int64_t k = k0; k < k1; ++k) {
      V g[kVectors];
      const T* gradient = tile.gradient + (k - tile.first) * kAlternateRows + row;
      for (std::int64_t v = 0; v < kVectors; ++v) g[v] = hn::Load(d, gradient + v * lanes);
      for (std::int64_t j = k0; j < k; ++j) {
        const V h = hn::Set(d, tile.h[k * tile.stride + j]);
        const T* change = tile.change + (j - tile.first) * kAlternateRows + row;
        for (std::int64_t v = 0; v < kVectors; ++v) g[v] = hn::MulAdd(h, hn::Load(d, change + v * lanes), g[v]);
      }
      const V inverse = hn::Set(d, tile.inverse[k]);
      for (std::int64_t v = 0; v < kVectors; ++v) Move(d, tile, k, row + v * lanes, inverse, g[v]);
    }
}

template <class T>
HWY_INLINE void Refit(const AlternateTile<T>& tile) {
  const StripTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < kAlternateRows; row += lanes) {
    const V step = hn::Load(d, tile.step + row), zero = hn::Load(d, tile.zero + row);
    V ug = hn::Zero(d), uhu = hn::Zero(d);
    for (std::int64_t j = 0; j < tile.columns; ++j) {
      const V u = hn::Sub(hn::Load(d, tile.code + (tile.first + j) * kAlternateRows + row), zero);
      ug = hn::MulAdd(u, hn::Load(d, tile.gradient + j * kAlternateRows + row), ug);
      uhu = hn::MulAdd(u, hn::Load(d, tile.product + j * kAlternateRows + row), uhu);
    }
    const V wanted = hn::Min(RoundStep(d, hn::Add(step, hn::Div(ug, uhu))), hn::Set(d, static_cast<T>(65504)));
    const V by = hn::Sub(wanted, step);
    const V gain = hn::Mul(by, hn::NegMulAdd(by, uhu, hn::Add(ug, ug)));  // what the error loses: 2 by ug - by^2 uhu
    const V fitted = hn::IfThenElse(hn::Gt(gain, hn::Zero(d)), wanted, step);
    const V shift = hn::Sub(fitted, step);
    hn::Store(fitted, d, tile.step + row);
    for (std::int64_t j = 0; j < tile.columns; ++j) {
      const auto at = (tile.first + j) * kAlternateRows + row, in_group = j * kAlternateRows + row;
      const V q = hn::Mul(fitted, hn::Sub(hn::Load(d, tile.code + at), zero));
      hn::Store(hn::Sub(hn::Load(d, tile.w + at), q), d, tile.difference + at);
      const V g = hn::Load(d, tile.gradient + in_group);
      hn::Store(hn::NegMulAdd(shift, hn::Load(d, tile.product + in_group), g), d, tile.gradient + in_group);
    }
  }
}

void DescendFloat(const AlternateTile<float>& tile, std::int64_t k0, std::int64_t k1) { Descend(tile, k0, k1); }
void DescendDouble(const AlternateTile<double>& tile, std::int64_t k0, std::int64_t k1) { Descend(tile, k0, k1); }
void RefitFloat(const AlternateTile<float>& tile) { Refit(tile); }
void RefitDouble(const AlternateTile<double>& tile) { Refit(tile); }

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nearplane {
HWY_EXPORT(DescendFloat);
HWY_EXPORT(DescendDouble);
HWY_EXPORT(RefitFloat);
HWY_EXPORT(RefitDouble);

void descend(const AlternateTile<float>& tile, std::int64_t k0, std::int64_t k1) {
  HWY_DYNAMIC_DISPATCH(DescendFloat)(tile, k0, k1);
}
void descend(const AlternateTile<double>& tile, std::int64_t k0, std::int64_t k1) {
  HWY_DYNAMIC_DISPATCH(DescendDouble)(tile, k0, k1);
}
void refit(const AlternateTile<float>& tile) { HWY_DYNAMIC_DISPATCH(RefitFloat)(tile); }
void refit(const AlternateTile<double>& tile) { HWY_DYNAMIC_DISPATCH(RefitDouble)(tile); }

}  // namespace nearplane
#endif
