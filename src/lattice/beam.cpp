// Per column: both levels next to every survivor's target, the K cheapest of the 2K extensions, and the feedback of the
// decision moved along with the survivors to the columns of the run still to come. Older columns are moved once a run.
// Selecting is a sorting network on integer keys: the bits of a cost, the number of the extension in the last ones.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lattice/beam.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cassert>
#include <limits>

#include "lattice/beam.h"
#include "lattice/select-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane::lattice {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kClippedMark = 256;  // added to codes that were clipped while they are open

// One vector of rows with its K survivors.
template <class T, int K>
struct Strip {
  using D = hn::CappedTag<T, kTileRows>;
  using V = hn::Vec<D>;
  using DI = hn::RebindToSigned<D>;
  using VI = hn::Vec<DI>;
  using M = hn::Mask<D>;
  static constexpr int kBits = log2_of(K);

  const Tile<T>& tile;
  std::int64_t row;               // of the tile
  T *cost, *codes, *differences;  // of this strip; codes and differences [slot][K][lanes]
  std::int64_t lanes;
  V target[kBeamLeaf][K];  // of the columns of the run
  V code[kBeamLeaf][K];    // decided in the run, marked
  VI parent[kBeamLeaf][K];

  Strip(const Tile<T>& t, Beam<T>& beam, std::int64_t first_row, std::int64_t vector)
      : tile(t),
        row(first_row),
        cost(beam.cost.data() + row * K),
        codes(beam.codes.data() + row * K * (kOpenColumns + kBeamLeaf)),
        differences(beam.differences.data() + row * K * (kOpenColumns + kBeamLeaf)),
        lanes(vector) {}

  // What the levels of a column need.
  struct Column {
    V step, zero, pivot, top;
  };

  Column column(std::int64_t k) const {
    const D d;
    const auto at = tile.group[k] * kTileRows + row;
    return {hn::Load(d, tile.step + at), hn::Load(d, tile.zero + at), hn::Set(d, tile.pivots[k]),
            hn::Set(d, tile.max_code)};
  }

  HWY_INLINE V nearest(const Column& c, V t) const {
    const D d;
    return hn::IfThenElseZero(hn::Eq(t, t), hn::Clamp(hn::Round(t), hn::Zero(d), c.top));
  }
  // The level on the other side of t; inside the range where the nearest one is at its end.
  HWY_INLINE V second(const Column& c, V t, V first) const {
    const D d;
    const V one = hn::Set(d, T{1});
    const auto up = hn::And(hn::Ge(t, first), hn::Lt(first, c.top));
    return hn::IfThenElse(hn::Or(up, hn::Le(first, hn::Zero(d))), hn::Add(first, one), hn::Sub(first, one));
  }
  HWY_INLINE V extended(const Column& c, V target_k, V code_k, V before) const {
    const V e = hn::Mul(c.pivot, hn::Sub(target_k, hn::Mul(c.step, hn::Sub(code_k, c.zero))));
    return hn::MulAdd(e, e, before);
  }
  // The bits of the cost order like the cost; NaN (feedback beyond T) counts as infinite.
  HWY_INLINE VI key(V cost_k, int index) const {
    const D d;
    const DI di;
    using I = hn::TFromD<DI>;
    const V infinite = hn::Set(d, std::numeric_limits<T>::infinity());
    const V clean = hn::IfThenElse(hn::Lt(cost_k, infinite), cost_k, infinite);
    return hn::Or(hn::AndNot(hn::Set(di, static_cast<I>(2 * K - 1)), hn::BitCast(di, clean)),
                  hn::Set(di, static_cast<I>(index)));
  }
  HWY_INLINE void masks(VI index, M* bits) const {
    const D d;
    const DI di;
    for (int b = 0; b < kBits; ++b)
      bits[b] = hn::RebindMask(d, hn::TestBit(index, hn::Set(di, static_cast<hn::TFromD<DI>>(1) << b)));
  }

  // One survivor, nothing decided.
  void start() const {
    const D d;
    for (int s = 0; s < K; ++s)
      hn::Store(hn::Set(d, s == 0 ? T{0} : std::numeric_limits<T>::infinity()), d, cost + s * lanes);
  }

  // Targets of [k0, k1) as far as columns before k0 determine them.
  HWY_INLINE void aim(std::int64_t k0, std::int64_t k1, std::int64_t open) {
    const D d;
    for (std::int64_t k = k0; k < k1; ++k) {
      const auto at = k * kTileRows + row;
      const V base = hn::Add(hn::Load(d, tile.w + at), hn::Load(d, tile.feedback + at));
      const T* l = tile.l + k * tile.stride;
      V sum[K];
      for (int s = 0; s < K; ++s) sum[s] = base;
      for (std::int64_t p = open; p < k0; ++p) {
        const V factor = hn::Set(d, l[p]);
        const T* from = differences + (p - open) * K * lanes;
        for (int s = 0; s < K; ++s) sum[s] = hn::MulAdd(factor, hn::Load(d, from + s * lanes), sum[s]);
      }
      for (int s = 0; s < K; ++s) target[k - k0][s] = sum[s];
    }
  }

  // The K cheapest extensions of column k: their number, 2 x survivor + (0: nearest level, 1: second).
  HWY_INLINE void select(const Column& c, const V* targets, const V* costs, VI* chosen) const {
    VI near[K], far[K];
    for (int s = 0; s < K; ++s) {
      const V t = hn::Add(hn::Div(targets[s], c.step), c.zero);
      const V first = nearest(c, t);
      near[s] = key(extended(c, targets[s], first, costs[s]), 2 * s);
      far[s] = key(extended(c, targets[s], second(c, t, first), costs[s]), 2 * s + 1);
    }
    Sort<K>(near);
    Sort<K>(far);
    for (int s = 0; s < K; ++s)  // of two ascending lists one of which is turned round, the lesser half
      chosen[s] = hn::Min(near[s], far[K - 1 - s]);
  }

  HWY_INLINE void decide(std::int64_t k0, std::int64_t k1, std::int64_t k) {
    const D d;
    const DI di;
    const Column c = column(k);
    const V half = hn::Set(d, static_cast<T>(0.5)), mark = hn::Set(d, static_cast<T>(kClippedMark));
    const V infinite = hn::Set(d, std::numeric_limits<T>::infinity());
    const V w = hn::Load(d, tile.w + k * kTileRows + row);
    V before[K], difference[K];
    for (int s = 0; s < K; ++s) before[s] = hn::Load(d, cost + s * lanes);
    VI chosen[K];
    M bits[K][kBits + 1];
    select(c, target[k - k0], before, chosen);
    for (int s = 0; s < K; ++s) {
      parent[k - k0][s] = hn::ShiftRight<1>(hn::And(chosen[s], hn::Set(di, static_cast<hn::TFromD<DI>>(2 * K - 1))));
      masks(parent[k - k0][s], bits[s]);
      const V aimed = Pick<K>(target[k - k0], bits[s]);
      const V t = hn::Add(hn::Div(aimed, c.step), c.zero);
      const V first = nearest(c, t);
      const auto other = hn::RebindMask(d, hn::TestBit(chosen[s], hn::Set(di, static_cast<hn::TFromD<DI>>(1))));
      const V z = hn::IfThenElse(other, second(c, t, first), first);
      const V sum = extended(c, aimed, z, Pick<K>(before, bits[s]));
      hn::Store(hn::IfThenElse(hn::Lt(sum, infinite), sum, infinite), d, cost + s * lanes);
      difference[s] = hn::Sub(w, hn::Mul(c.step, hn::Sub(z, c.zero)));
      const auto beyond = hn::Or(hn::And(hn::Lt(t, hn::Neg(half)), hn::Eq(z, hn::Zero(d))),
                                 hn::And(hn::Gt(t, hn::Add(c.top, half)), hn::Eq(z, c.top)));
      code[k - k0][s] = hn::Add(z, hn::IfThenElseZero(beyond, mark));
    }
    for (std::int64_t later = k + 1; later < k1; ++later) {
      const V factor = hn::Set(d, tile.l[later * tile.stride + k]);
      V moved[K];
      for (int s = 0; s < K; ++s) moved[s] = hn::MulAdd(factor, difference[s], Pick<K>(target[later - k0], bits[s]));
      for (int s = 0; s < K; ++s) target[later - k0][s] = moved[s];
    }
  }

  // Codes of the run by the survivors at its end; ancestor[s] = who survivor s was before it.
  HWY_INLINE void trace(std::int64_t count, VI* ancestor) {
    const DI di;
    for (int s = 0; s < K; ++s) ancestor[s] = hn::Set(di, static_cast<hn::TFromD<DI>>(s));
    for (std::int64_t k = count - 1; k >= 0; --k) {
      V traced[K];
      VI earlier[K];
      for (int s = 0; s < K; ++s) {
        M bits[kBits + 1];
        hn::Mask<DI> integer_bits[kBits + 1];
        masks(ancestor[s], bits);
        for (int b = 0; b < kBits; ++b) integer_bits[b] = hn::RebindMask(di, bits[b]);
        traced[s] = Pick<K>(code[k], bits);
        earlier[s] = Pick<K>(parent[k], integer_bits);
      }
      for (int s = 0; s < K; ++s) code[k][s] = traced[s], ancestor[s] = earlier[s];
    }
  }

  HWY_INLINE V unmarked(V z) const {
    const V mark = hn::Set(D(), static_cast<T>(kClippedMark));
    return hn::IfThenElse(hn::Ge(z, mark), hn::Sub(z, mark), z);
  }
  HWY_INLINE V difference_of(std::int64_t k, V z) const {
    const D d;
    const auto at = tile.group[k] * kTileRows + row;
    const V q = hn::Mul(hn::Load(d, tile.step + at), hn::Sub(unmarked(z), hn::Load(d, tile.zero + at)));
    return hn::Sub(hn::Load(d, tile.w + k * kTileRows + row), q);
  }

  // Keeps the codes z of column k in slot `slot`, or closes the column (slot < 0) with those of survivor `best`.
  HWY_INLINE void keep(std::int64_t k, std::int64_t slot, const V* z, const M* best, T* clipped) const {
    const D d;
    if (slot >= 0) {
      for (int s = 0; s < K; ++s) {
        hn::Store(z[s], d, codes + (slot * K + s) * lanes);
        hn::Store(difference_of(k, z[s]), d, differences + (slot * K + s) * lanes);
      }
      return;
    }
    const V infinite = hn::Set(d, std::numeric_limits<T>::infinity());
    const V marked_winner = Pick<K>(z, best), winner = unmarked(marked_winner);
    for (int s = 0; s < K; ++s) {
      const auto same = hn::Eq(unmarked(z[s]), winner);
      hn::Store(hn::IfThenElse(same, hn::Load(d, cost + s * lanes), infinite), d, cost + s * lanes);
    }
    const auto marked = hn::Ge(marked_winner, hn::Set(d, static_cast<T>(kClippedMark)));
    hn::Store(hn::Add(hn::Load(d, clipped + row), hn::IfThenElseZero(marked, hn::Set(d, T{1}))), d, clipped + row);
    hn::Store(difference_of(k, winner), d, tile.w + k * kTileRows + row);
    hn::Store(winner, d, tile.feedback + k * kTileRows + row);
  }

  // The best survivor as masks of its number; its cost goes from all costs to settled.
  HWY_INLINE void settle(M* best, T* settled) const {
    const D d;
    const DI di;
    V least = hn::Load(d, cost);
    VI number = hn::Zero(di);
    for (int s = 1; s < K; ++s) {
      const V other = hn::Load(d, cost + s * lanes);
      number =
          hn::IfThenElse(hn::RebindMask(di, hn::Lt(other, least)), hn::Set(di, static_cast<hn::TFromD<DI>>(s)), number);
      least = hn::Min(other, least);
    }
    masks(number, best);
    hn::Store(least, d, settled + row);
    const V off = hn::IfThenElseZero(hn::Lt(least, hn::Set(d, std::numeric_limits<T>::infinity())), least);
    for (int s = 0; s < K; ++s) hn::Store(hn::Sub(hn::Load(d, cost + s * lanes), off), d, cost + s * lanes);
  }

  HWY_INLINE void run(std::int64_t open, std::int64_t k0, std::int64_t k1, std::int64_t close, T* settled, T* clipped) {
    const D d;
    aim(k0, k1, open);
    for (std::int64_t k = k0; k < k1; ++k) decide(k0, k1, k);
    VI ancestor[K];
    M best[kBits + 1], bits[K][kBits + 1];
    trace(k1 - k0, ancestor);
    for (int s = 0; s < K; ++s) masks(ancestor[s], bits[s]);
    settle(best, settled);
    for (std::int64_t k = open; k < k0; ++k) {
      V before[K], z[K];
      for (int s = 0; s < K; ++s) before[s] = hn::Load(d, codes + ((k - open) * K + s) * lanes);
      for (int s = 0; s < K; ++s) z[s] = Pick<K>(before, bits[s]);
      keep(k, k - close, z, best, clipped);
    }
    for (std::int64_t k = k0; k < k1; ++k) keep(k, k - close, code[k - k0], best, clipped);
  }
};

template <class T, int K>
void ExtendRows(const Tile<T>& tile, Beam<T>& beam, std::int64_t k0, std::int64_t k1, std::int64_t close, T* settled,
                T* clipped) {
  const hn::CappedTag<T, kTileRows> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < kTileRows; row += lanes) {
    Strip<T, K> strip(tile, beam, row, lanes);
    if (k0 == 0) strip.start();
    strip.run(beam.open, k0, k1, close, settled, clipped);
  }
}

template <class T>
HWY_INLINE void Extend(const Tile<T>& tile, Beam<T>& beam, std::int64_t k0, std::int64_t k1, std::int64_t close,
                       T* settled, T* clipped) {
  switch (beam.size) {
    case 1:
      return ExtendRows<T, 1>(tile, beam, k0, k1, close, settled, clipped);
    case 2:
      return ExtendRows<T, 2>(tile, beam, k0, k1, close, settled, clipped);
    case 4:
      return ExtendRows<T, 4>(tile, beam, k0, k1, close, settled, clipped);
    default:
      return ExtendRows<T, kLargestBeam>(tile, beam, k0, k1, close, settled, clipped);
  }
}

void ExtendFloat(const Tile<float>& tile, Beam<float>& beam, std::int64_t k0, std::int64_t k1, std::int64_t close,
                 float* settled, float* clipped) {
  Extend(tile, beam, k0, k1, close, settled, clipped);
}
void ExtendDouble(const Tile<double>& tile, Beam<double>& beam, std::int64_t k0, std::int64_t k1, std::int64_t close,
                  double* settled, double* clipped) {
  Extend(tile, beam, k0, k1, close, settled, clipped);
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane::lattice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nearplane::lattice {
HWY_EXPORT(ExtendFloat);
HWY_EXPORT(ExtendDouble);

template <class T>
Beam<T>::Beam(int k)
    : size(k),
      cost(Matrix<T>::uninitialized(k, kTileRows)),
      codes(Matrix<T>::uninitialized(kOpenColumns + kBeamLeaf, k * kTileRows)),
      differences(Matrix<T>::uninitialized(kOpenColumns + kBeamLeaf, k * kTileRows)) {
  assert(k >= 1 && k <= kLargestBeam && (k & (k - 1)) == 0);
}
template struct Beam<float>;
template struct Beam<double>;

void extend(const Tile<float>& tile, Beam<float>& beam, std::int64_t k0, std::int64_t k1, std::int64_t close,
            float* settled, float* clipped) {
  HWY_DYNAMIC_DISPATCH(ExtendFloat)(tile, beam, k0, k1, close, settled, clipped);
  beam.open = close;
}
void extend(const Tile<double>& tile, Beam<double>& beam, std::int64_t k0, std::int64_t k1, std::int64_t close,
            double* settled, double* clipped) {
  HWY_DYNAMIC_DISPATCH(ExtendDouble)(tile, beam, k0, k1, close, settled, clipped);
  beam.open = close;
}

}  // namespace nearplane::lattice
#endif
