// Candidates: min-max, then the range of the weights times kShrinks factors with two zero points each. The best
// candidate's step is refitted once to its codes, s = (sum h w u) / (sum h u^2), and kept if that is better.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "quant/search_tile.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "quant/round_step-inl.h"
#include "quant/search_tile.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, kSearchRows>;
using V = hn::Vec<D>;

// Steps tried, relative to the range of the weights / max_code. Denser or wider changed the error of real layers by
// less than 0.1 %. Above 1 because a wider step can meet the weights better, and reaches both ends where symmetric.
constexpr int kShrinks = 37;
constexpr float kNarrowest = 0.3f, kSpacing = 0.025f;

struct Choice {
  V step, zero, error;
};

// The weighted error of codes u = round(w / step) in [-zero, max_code - zero]; optionally the sums of the refit.
template <bool kSums>
HWY_INLINE V Error(D d, const SearchTile& tile, std::int64_t row, V step, V zero, V* wu, V* uu) {
  const V inverse = hn::Div(hn::Set(d, 1.0f), step), low = hn::Neg(zero),
          high = hn::Sub(hn::Set(d, tile.max_code), zero);
  V error = hn::Zero(d);
  for (std::int64_t j = 0; j < tile.columns; ++j) {
    const V w = hn::Load(d, tile.w + j * kSearchRows + row), h = hn::Set(d, tile.weight[j]);
    const V u = hn::Clamp(hn::Round(hn::Mul(w, inverse)), low, high);
    const V difference = hn::NegMulAdd(step, u, w);
    error = hn::MulAdd(hn::Mul(h, difference), difference, error);
    if constexpr (kSums) {
      const V hu = hn::Mul(h, u);
      *wu = hn::MulAdd(hu, w, *wu);
      *uu = hn::MulAdd(hu, u, *uu);
    }
  }
  return error;
}

HWY_INLINE void KeepBetter(D d, const SearchTile& tile, std::int64_t row, V step, V zero, Choice& best) {
  const V error = Error<false>(d, tile, row, step, zero, nullptr, nullptr);
  const auto better = hn::Lt(error, best.error);
  best.step = hn::IfThenElse(better, step, best.step);
  best.zero = hn::IfThenElse(better, zero, best.zero);
  best.error = hn::IfThenElse(better, error, best.error);
}

HWY_INLINE void Refit(D d, const SearchTile& tile, std::int64_t row, Choice& best) {
  V wu = hn::Zero(d), uu = hn::Zero(d);
  Error<true>(d, tile, row, best.step, best.zero, &wu, &uu);
  const V step = hn::IfThenElse(hn::Gt(uu, hn::Zero(d)), hn::Div(wu, uu), best.step);
  KeepBetter(d, tile, row, RoundStep(d, step), best.zero, best);
}

HWY_INLINE void Search(D d, const SearchTile& tile, std::int64_t row, V lo, V hi, V widest, Choice& best) {
  const V one = hn::Set(d, 1.0f), top = hn::Set(d, tile.max_code), half = hn::Set(d, 0.5f);
  best.error = Error<false>(d, tile, row, best.step, best.zero, nullptr, nullptr);
  for (int i = 0; i < kShrinks; ++i) {
    const V step = RoundStep(d, hn::Mul(widest, hn::Set(d, kNarrowest + kSpacing * static_cast<float>(i))));
    if (tile.fixed_zero > 0) {
      KeepBetter(d, tile, row, step, best.zero, best);
      continue;
    }
    // The two zero points that come closest to centring the levels on the weights' range.
    const V below = hn::Floor(hn::Mul(half, hn::Sub(top, hn::Div(hn::Add(lo, hi), step))));
    KeepBetter(d, tile, row, step, hn::Clamp(below, one, top), best);
    KeepBetter(d, tile, row, step, hn::Clamp(hn::Add(below, one), one, top), best);
  }
  Refit(d, tile, row, best);
}

void SearchRows(D d, const SearchTile& tile, std::int64_t row, float* step, float* zero) {
  V lo = hn::Zero(d), hi = hn::Zero(d);
  for (std::int64_t j = 0; j < tile.columns; ++j) {
    const V w = hn::Load(d, tile.w + j * kSearchRows + row);
    lo = hn::Min(lo, w), hi = hn::Max(hi, w);
  }
  const V top = hn::Set(d, tile.max_code), one = hn::Set(d, 1.0f);
  Choice best;
  V widest;
  if (tile.fixed_zero > 0) {
    widest = hn::Div(hn::Mul(hn::Set(d, 2.0f), hn::Max(hi, hn::Neg(lo))), top);
    best.step = RoundStep(d, widest);
    best.zero = hn::Set(d, tile.fixed_zero);
  } else {
    widest = hn::Div(hn::Sub(hi, lo), top);
    best.zero = hn::Round(hn::Div(hn::Neg(lo), RoundStep(d, widest)));
    // Zero must be a level, so code 0 is left unused where nothing is negative: one level less for the same range.
    const auto positive = hn::Lt(best.zero, one);
    widest = hn::IfThenElse(positive, hn::Div(hn::Sub(hi, lo), hn::Sub(top, one)), widest);
    best.step = RoundStep(d, widest);
    best.zero = hn::Clamp(best.zero, one, top);
  }
  if (tile.weight != nullptr) Search(d, tile, row, lo, hi, widest, best);
  hn::Store(best.step, d, step + row);
  hn::Store(best.zero, d, zero + row);
}

void SearchTileRows(const SearchTile& tile, float* step, float* zero) {
  const D d;
  for (std::int64_t row = 0; row < kSearchRows; row += static_cast<std::int64_t>(hn::Lanes(d)))
    SearchRows(d, tile, row, step, zero);
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nearplane {
HWY_EXPORT(SearchTileRows);

void search_tile(const SearchTile& tile, float* step, float* zero) {
  HWY_DYNAMIC_DISPATCH(SearchTileRows)(tile, step, zero);
}

}  // namespace nearplane
#endif
