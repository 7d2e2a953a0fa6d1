// Per column: gather the feedback of the columns of this run that are decided (one multiply-add per column and vector,
// kept in registers for eight vectors of rows), round, keep the difference.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lattice/decide.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "lattice/decide.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane::lattice {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t kVectors = 8;  // hides the latency of a multiply-add on two ports

// One column for one vector of rows, whose target is c.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void RoundColumn(D d, const Tile<hn::TFromD<D>>& tile, std::int64_t k, std::int64_t row, V c, V& error,
                            V& clipped) {
  const auto at = k * kTileRows + row, grid_at = tile.group[k] * kTileRows + row;
  const V step = hn::Load(d, tile.step + grid_at), zero = hn::Load(d, tile.zero + grid_at);
  const V low = hn::Set(d, tile.min_code), high = hn::Set(d, tile.max_code);
  const V half = hn::Set(d, static_cast<hn::TFromD<D>>(0.5));
  const V t = hn::Add(hn::Div(c, step), zero);
  // Feedback beyond the range of T ends in NaN: some code must be stored, and the error below says so.
  const V code = hn::IfThenElseZero(hn::Eq(t, t), hn::Clamp(hn::Round(t), low, high));
  const V q = hn::Mul(step, hn::Sub(code, zero));
  const V e = hn::Mul(hn::Set(d, tile.pivots[k]), hn::Sub(c, q));
  error = hn::MulAdd(e, e, error);
  const auto beyond = hn::Or(hn::Lt(t, hn::Sub(low, half)), hn::Gt(t, hn::Add(high, half)));
  clipped = hn::Add(clipped, hn::IfThenElseZero(beyond, hn::Set(d, static_cast<hn::TFromD<D>>(1))));
  hn::Store(hn::Sub(hn::Load(d, tile.w + at), q), d, tile.w + at);
  hn::Store(code, d, tile.feedback + at);
}

// Rows [row, row + kVectors x lanes) of the tile.
template <class T>
HWY_INLINE void DecideStrip(const Tile<T>& tile, std::int64_t k0, std::int64_t k1, std::int64_t row, T* error,
                            T* clipped) {
  const hn::CappedTag<T, kTileRows / kVectors> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t k = k0; k < k1; ++k) {
    V c[kVectors];
    const auto at = k * kTileRows + row;
    for (std::int64_t v = 0; v < kVectors; ++v)
      c[v] = hn::Add(hn::Load(d, tile.w + at + v * lanes), hn::Load(d, tile.feedback + at + v * lanes));
    for (std::int64_t j = k0; j < k; ++j) {
      const V l = hn::Set(d, tile.l[k * tile.stride + j]);
      const T* diff = tile.w + j * kTileRows + row;
      for (std::int64_t v = 0; v < kVectors; ++v) c[v] = hn::MulAdd(l, hn::Load(d, diff + v * lanes), c[v]);
    }
    for (std::int64_t v = 0; v < kVectors; ++v) {
      T* e = error + row + v * lanes;
      T* n = clipped + row + v * lanes;
      V sum = hn::Load(d, e), count = hn::Load(d, n);
      RoundColumn(d, tile, k, row + v * lanes, c[v], sum, count);
      hn::Store(sum, d, e);
      hn::Store(count, d, n);
    }
  }
}

template <class T>
HWY_INLINE void Decide(const Tile<T>& tile, std::int64_t k0, std::int64_t k1, T* error, T* clipped) {
  const hn::CappedTag<T, kTileRows / kVectors> d;
  const auto strip = kVectors * static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < kTileRows; row += strip) DecideStrip(tile, k0, k1, row, error, clipped);
}

void DecideFloat(const Tile<float>& tile, std::int64_t k0, std::int64_t k1, float* error, float* clipped) {
  Decide(tile, k0, k1, error, clipped);
}
void DecideDouble(const Tile<double>& tile, std::int64_t k0, std::int64_t k1, double* error, double* clipped) {
  Decide(tile, k0, k1, error, clipped);
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane::lattice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nearplane::lattice {
HWY_EXPORT(DecideFloat);
HWY_EXPORT(DecideDouble);

void decide(const Tile<float>& tile, std::int64_t k0, std::int64_t k1, float* error, float* clipped) {
  HWY_DYNAMIC_DISPATCH(DecideFloat)(tile, k0, k1, error, clipped);
}
void decide(const Tile<double>& tile, std::int64_t k0, std::int64_t k1, double* error, double* clipped) {
  HWY_DYNAMIC_DISPATCH(DecideDouble)(tile, k0, k1, error, clipped);
}

}  // namespace nearplane::lattice
#endif
