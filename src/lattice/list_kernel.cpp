// Per column: the two extensions of every survivor, and for every state the M cheapest of the 2M that lead to it; the
// feedback of the decision moves along with the survivors to the columns of the run still to come. Older columns are
// moved once a run. Selecting is a sorting network on integer keys: the bits of a cost, the number of the extension in
// the last ones.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "lattice/list_kernel.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

#include "lattice/list_kernel.h"
#include "lattice/select-inl.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane::lattice {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One vector of rows with its S x M survivors; survivor r of state s is in slot s M + r.
template <class T, int M>
struct Strip {
  using D = hn::CappedTag<T, kTileRows>;
  using V = hn::Vec<D>;
  using DI = hn::RebindToSigned<D>;
  using VI = hn::Vec<DI>;
  using I = hn::TFromD<DI>;
  using Mask = hn::Mask<D>;
  static constexpr int kBits = log2_of(2 * M);

  // A way into a state.
  struct Branch {
    int state, odd;
  };

  const ListProblem<T>& problem;
  Survivors<T>& tile;
  const std::int64_t row, lanes;  // first row of the strip in the tile
  const int states, slots;
  T *cost, *past;      // of this strip; past [slot][window and run][lanes]
  T *targets, *moved;  // [run][slots][lanes] of the run's columns, before and after a decision
  T *decided, *branch_cost, *branch_q, *column;  // [run][slots][lanes], [state][odd][M][lanes] twice, [slots][lanes]
  I *parents, *ancestors;                        // [run][slots][lanes], [slots][lanes]
  Branch from[16][2];

  Strip(const ListProblem<T>& p, Survivors<T>& s, std::int64_t first_row, std::int64_t vector)
      : problem(p), tile(s), row(first_row), lanes(vector), states(p.trellis.states), slots(p.slots()) {
    const auto wide = slots * lanes;
    cost = tile.cost.data() + row * slots;
    past = tile.differences.data() + row * slots * kPast;
    T* next = tile.scratch.data();
    const auto take = [&](std::int64_t count) { return std::exchange(next, next + count * wide); };
    targets = take(kListLeaf), moved = take(kListLeaf), decided = take(kListLeaf);
    branch_cost = take(2), branch_q = take(2), column = take(1);
    parents = reinterpret_cast<I*>(take(kListLeaf)), ancestors = reinterpret_cast<I*>(take(1));
    int found[16] = {};
    for (int state = 0; state < states; ++state)
      for (int odd = 0; odd < 2; ++odd) {
        const int to = p.trellis.next(state, odd);
        from[to][found[to]++] = {state, odd};
      }
  }

  static constexpr std::int64_t kPast = kListWindow + kListLeaf + 1;  // odd: slots do not share cache sets

  // What the levels of a column need.
  struct Column {
    bool alive;
    V pivot, t;
    V table[2], zero_price[2];  // where the prices of level 0 are, what it costs; by quantizer
  };

  HWY_INLINE V infinite() const { return hn::Set(D(), std::numeric_limits<T>::infinity()); }
  HWY_INLINE V load(const T* from_slots, std::int64_t slot) const { return hn::Load(D(), from_slots + slot * lanes); }
  HWY_INLINE void store(V v, T* to, std::int64_t slot) const { hn::Store(v, D(), to + slot * lanes); }

  HWY_INLINE V price_at(V index) const {
    return hn::GatherIndex(D(), problem.prices.data(), hn::ConvertTo(DI(), index));
  }
  HWY_INLINE V price(V table, V level) const {
    const D d;
    const V reach = hn::Set(d, static_cast<T>(problem.reach));
    const V inside = hn::Clamp(level, hn::Neg(reach), reach);
    return hn::MulAdd(hn::Set(d, problem.slope), hn::Abs(hn::Sub(level, inside)), price_at(hn::Add(table, inside)));
  }

  Column column_at(std::int64_t k) const {
    const D d;
    const auto index = static_cast<std::size_t>(k);
    Column c{problem.pivots[index] >= 0,
             hn::Set(d, problem.pivots[index]),
             hn::Load(d, tile.t.row(k) + row),
             {hn::Zero(d), hn::Zero(d)},
             {hn::Zero(d), hn::Zero(d)}};
    if (problem.prices.empty()) return c;
    const auto width = static_cast<T>(2 * problem.reach + 1);
    const V kind = hn::Clamp(hn::Sub(hn::Load(d, tile.row_class.data() + row), hn::Set(d, problem.column_class[index])),
                             hn::Zero(d), hn::Set(d, static_cast<T>(problem.classes - 1)));
    for (int q = 0; q < 2; ++q) {
      c.table[q] = hn::MulAdd(kind, hn::Set(d, 2 * width),
                              hn::Set(d, static_cast<T>(q) * width + static_cast<T>(problem.reach)));
      c.zero_price[q] = price_at(c.table[q]);
    }
    return c;
  }

  // Cost of an extension whose point is q.
  HWY_INLINE V extended(const Column& c, V target, V q, V before) const {
    const V e = hn::Mul(c.pivot, hn::Sub(target, q));
    return hn::MulAdd(e, e, before);
  }
  HWY_INLINE void put(int branch, int r, V sum, V q) const {  // NaN (feedback beyond T) counts as infinite
    store(hn::IfThenElse(hn::Lt(sum, infinite()), sum, infinite()), branch_cost, branch * M + r);
    store(q, branch_q, branch * M + r);
  }

  // The cheapest even and odd extensions of the survivors of a state.
  HWY_INLINE void branch(const Column& c, int state) const {
    const D d;
    const V half = hn::Set(d, static_cast<T>(0.5)), limit = hn::Set(d, T{32767});
    const int quantizer = states == 1 ? 0 : Trellis::quantizer(state);
    for (int r = 0; r < M; ++r) {
      const V before = load(cost, state * M + r), target = load(targets, state * M + r);
      if (!c.alive) {
        put(2 * state, r, hn::Add(before, c.zero_price[quantizer]), hn::Zero(d));
        put(2 * state + 1, r, infinite(), hn::Zero(d));
        continue;
      }
      const V x = quantizer == 1 ? hn::Add(target, hn::CopySign(half, target)) : target;  // levels as real numbers
      const auto inside = hn::Lt(hn::Abs(x), limit);
      const V low = hn::IfThenElseZero(inside, hn::Floor(x));
      const V even = hn::Floor(hn::MulAdd(low, half, half));  // its half
      const V even_level = hn::Add(even, even);
      const V odd_level = hn::Sub(hn::Add(hn::Add(low, low), hn::Set(d, T{1})), even_level);
      V even_q = even_level, odd_q = odd_level;
      if (quantizer == 1) {
        even_q = hn::IfThenElseZero(hn::Ne(even, hn::Zero(d)), hn::Sub(even_level, hn::CopySign(half, even)));
        odd_q = hn::Sub(odd_level, hn::CopySign(half, odd_level));
      }
      V even_cost = extended(c, target, even_q, before), odd_cost = extended(c, target, odd_q, before);
      if (!problem.prices.empty()) {
        even_cost = hn::Add(even_cost, price(c.table[quantizer], even_level));
        odd_cost = hn::Add(odd_cost, price(c.table[quantizer], odd_level));
      }
      const V zero_cost = hn::Add(extended(c, target, hn::Zero(d), before), c.zero_price[quantizer]);
      const auto zero = hn::Lt(zero_cost, even_cost);
      put(2 * state, r, hn::IfThenElse(inside, hn::IfThenElse(zero, zero_cost, even_cost), infinite()),
          hn::IfThenZeroElse(zero, even_q));
      put(2 * state + 1, r, hn::IfThenElse(inside, odd_cost, infinite()), odd_q);
    }
  }

  // The bits of a cost >= 0 order like the cost.
  HWY_INLINE VI key(V sum, int index, int mask) const {
    const DI di;
    return hn::Or(hn::AndNot(hn::Set(di, static_cast<I>(mask)), hn::BitCast(di, sum)),
                  hn::Set(di, static_cast<I>(index)));
  }
  HWY_INLINE void masks(VI index, Mask* bits) const {
    for (int b = 0; b < kBits; ++b)
      bits[b] = hn::RebindMask(D(), hn::TestBit(index, hn::Set(DI(), static_cast<I>(1) << b)));
  }

  // The M cheapest of the 2M ways into a state.
  HWY_INLINE void enter(const Column& c, std::int64_t k0, std::int64_t k1, std::int64_t k, int to) const {
    const D d;
    const DI di;
    const Branch a = from[to][0], b = from[to][1];
    const T* costs[2] = {branch_cost + (2 * a.state + a.odd) * M * lanes,
                         branch_cost + (2 * b.state + b.odd) * M * lanes};
    const T* points[2] = {branch_q + (2 * a.state + a.odd) * M * lanes, branch_q + (2 * b.state + b.odd) * M * lanes};
    V sums[2 * M], qs[2 * M];
    VI near[M], far[M];
    for (int r = 0; r < M; ++r) {
      sums[r] = load(costs[0], r), sums[M + r] = load(costs[1], r);
      qs[r] = load(points[0], r), qs[M + r] = load(points[1], r);
      near[r] = key(sums[r], r, 2 * M - 1), far[r] = key(sums[M + r], M + r, 2 * M - 1);
    }
    Sort<M>(near);
    Sort<M>(far);
    Mask bits[M][kBits];
    V difference[M];
    for (int r = 0; r < M; ++r) {  // of two ascending lists one of which is turned round, the lesser half
      const VI index = hn::And(hn::Min(near[r], far[M - 1 - r]), hn::Set(di, static_cast<I>(2 * M - 1)));
      masks(index, bits[r]);
      const VI offset =
          hn::IfThenElse(hn::RebindMask(di, bits[r][kBits - 1]), hn::Set(di, static_cast<I>(b.state * M - M)),
                         hn::Set(di, static_cast<I>(a.state * M)));
      const auto slot = (k - k0) * slots + to * M + r;
      hn::Store(hn::Add(index, offset), di, parents + slot * lanes);
      store(Pick<2 * M>(sums, bits[r]), column, to * M + r);
      difference[r] = hn::Sub(c.t, Pick<2 * M>(qs, bits[r]));
      store(difference[r], decided, slot);
    }
    for (std::int64_t later = k + 1; later < k1; ++later) {
      const V factor = hn::Set(d, problem.l[later * problem.stride + k]);
      V aims[2 * M];
      for (int r = 0; r < M; ++r) {
        aims[r] = load(targets, (later - k) * slots + a.state * M + r);
        aims[M + r] = load(targets, (later - k) * slots + b.state * M + r);
      }
      for (int r = 0; r < M; ++r)
        store(hn::MulAdd(factor, difference[r], Pick<2 * M>(aims, bits[r])), moved,
              (later - k - 1) * slots + to * M + r);
    }
  }

  // Column k; targets[0] is its row of targets.
  HWY_INLINE void decide(std::int64_t k0, std::int64_t k1, std::int64_t k) {
    const Column c = column_at(k);
    for (int state = 0; state < states; ++state) branch(c, state);
    for (int to = 0; to < states; ++to) enter(c, k0, k1, k, to);
    std::copy_n(column, slots * lanes, cost);
    std::swap(targets, moved);
  }

  // Targets of columns [k, k + Columns) for slots [slot, slot + Slots) as far as columns before k0 determine them.
  template <int Columns, int Slots>
  HWY_INLINE void aim_block(std::int64_t k0, std::int64_t k, int slot) const {
    const D d;
    V sum[Columns][Slots];
    for (int i = 0; i < Columns; ++i) {
      const V base = hn::Add(hn::Load(d, tile.t.row(k + i) + row), hn::Load(d, tile.feedback.row(k + i) + row));
      for (int s = 0; s < Slots; ++s) sum[i][s] = base;
    }
    const T* l = problem.l + k * problem.stride;
    for (std::int64_t p = tile.open; p < k0; ++p) {
      V difference[Slots];
      for (int s = 0; s < Slots; ++s) difference[s] = load(past, (slot + s) * kPast + p - tile.open);
      for (int i = 0; i < Columns; ++i) {
        const V factor = hn::Set(d, l[i * problem.stride + p]);
        for (int s = 0; s < Slots; ++s) sum[i][s] = hn::MulAdd(factor, difference[s], sum[i][s]);
      }
    }
    for (int i = 0; i < Columns; ++i)
      for (int s = 0; s < Slots; ++s) store(sum[i][s], targets, (k + i - k0) * slots + slot + s);
  }
  template <int Slots>
  HWY_INLINE void aim_all(std::int64_t k0, std::int64_t k1) const {
    for (int slot = 0; slot < slots; slot += Slots) {
      auto k = k0;
      for (; k + 3 <= k1; k += 3) aim_block<3, Slots>(k0, k, slot);
      for (; k < k1; ++k) aim_block<1, Slots>(k0, k, slot);
    }
  }
  HWY_INLINE void aim(std::int64_t k0, std::int64_t k1) const {
    slots % 4 == 0 ? aim_all<4>(k0, k1) : aim_all < M<4 ? M : 4>(k0, k1);
  }

  // One survivor in state 0, nothing decided.
  void start() const {
    for (int s = 0; s < slots; ++s) store(s == 0 ? hn::Zero(D()) : infinite(), cost, s);
  }

  // Ancestors of the survivors among themselves: themselves, or where the next column starts in state 0, the M
  // cheapest of all.
  HWY_INLINE void gather_states(bool restart) const {
    const D d;
    const DI di;
    if (!restart) {
      for (int s = 0; s < slots; ++s) hn::Store(hn::Set(di, static_cast<I>(s)), di, ancestors + s * lanes);
      return;
    }
    const int mask = (1 << log2_of(2 * slots - 1)) - 1;
    VI least[M];
    for (int r = 0; r < M; ++r) least[r] = hn::Set(di, std::numeric_limits<I>::max());
    for (int s = 0; s < slots; ++s) {
      VI x = key(load(cost, s), s, mask);
      for (int r = 0; r < M; ++r) {
        const VI low = hn::Min(x, least[r]);
        x = hn::Max(x, least[r]);
        least[r] = low;
      }
    }
    V costs[M];
    for (int r = 0; r < M; ++r) {
      const VI slot = hn::And(least[r], hn::Set(di, static_cast<I>(mask)));
      hn::Store(slot, di, ancestors + r * lanes);
      costs[r] = hn::GatherIndex(d, cost, place(slot, 1));
    }
    for (int s = 0; s < slots; ++s) {
      store(s < M ? costs[s < M ? s : 0] : infinite(), cost, s);
      if (s >= M) hn::Store(hn::Zero(di), di, ancestors + s * lanes);
    }
  }

  // Where a slot's value is in an array with `columns` values per slot.
  HWY_INLINE VI place(VI slot, std::int64_t columns) const {
    const DI di;
    return hn::Add(hn::Mul(slot, hn::Set(di, static_cast<I>(columns * lanes))), hn::Iota(di, 0));
  }

  // Differences of the run by the survivors at its end, into their past; ancestors: who they were before the run.
  HWY_INLINE void trace(std::int64_t k0, std::int64_t k1) const {
    const D d;
    const DI di;
    for (int s = 0; s < slots; ++s) {
      VI who = hn::Load(di, ancestors + s * lanes);
      for (auto k = k1 - 1; k >= k0; --k) {
        const VI at = place(who, 1);
        const auto first = (k - k0) * slots * lanes;
        store(hn::GatherIndex(d, decided + first, at), past, s * kPast + k - tile.open);
        who = hn::GatherIndex(di, parents + first, at);
      }
      hn::Store(who, di, ancestors + s * lanes);
    }
  }

  // The best survivor; its cost goes from all costs to settled.
  HWY_INLINE VI settle(T* settled) const {
    const D d;
    const DI di;
    V least = load(cost, 0);
    VI number = hn::Zero(di);
    for (int s = 1; s < slots; ++s) {
      const V other = load(cost, s);
      number = hn::IfThenElse(hn::RebindMask(di, hn::Lt(other, least)), hn::Set(di, static_cast<I>(s)), number);
      least = hn::Min(other, least);
    }
    hn::Store(least, d, settled + row);
    const V off = hn::IfThenElseZero(hn::Lt(least, infinite()), least);
    for (int s = 0; s < slots; ++s) store(hn::Sub(load(cost, s), off), cost, s);
    return number;
  }

  // The level whose point is q.
  HWY_INLINE V level_of(V q) const {
    const D d;
    if (states == 1) return hn::Round(q);
    const V half = hn::Set(d, static_cast<T>(0.5)), point = hn::Round(hn::Add(q, q)), level = hn::Mul(point, half);
    return hn::IfThenElse(hn::Eq(hn::Floor(level), level), level, hn::Add(level, hn::CopySign(half, point)));
  }

  // Closes column k, whose differences are in `column`, with those of survivor `best`.
  HWY_INLINE void close_column(std::int64_t k, VI best) const {
    const D d;
    const V winner = hn::GatherIndex(d, column, place(best, 1));
    for (int s = 0; s < slots; ++s)
      store(hn::IfThenElse(hn::Eq(load(column, s), winner), load(cost, s), infinite()), cost, s);
    T* t = tile.t.row(k) + row;
    hn::Store(level_of(hn::Sub(hn::Load(d, t), winner)), d, tile.feedback.row(k) + row);
    hn::Store(winner, d, t);
  }

  // Columns before `close` are closed, the others move to the front, those before k0 with their survivors.
  HWY_INLINE void keep(std::int64_t k0, std::int64_t k1, std::int64_t close, VI best) const {
    const D d;
    const DI di;
    for (auto k = tile.open; k < k1; ++k) {
      if (k >= k0 && close == tile.open) break;
      for (int s = 0; s < slots; ++s)
        store(k >= k0 ? load(past, s * kPast + k - tile.open)
                      : hn::GatherIndex(d, past + (k - tile.open) * lanes,
                                        place(hn::Load(di, ancestors + s * lanes), kPast)),
              column, s);
      if (k < close)
        close_column(k, best);
      else
        for (int s = 0; s < slots; ++s) store(load(column, s), past, s * kPast + k - close);
    }
  }

  HWY_INLINE void run(std::int64_t k0, std::int64_t k1, std::int64_t close, T* settled) {
    aim(k0, k1);
    for (auto k = k0; k < k1; ++k) decide(k0, k1, k);
    gather_states(states > 1 && k1 % problem.restart == 0);
    trace(k0, k1);
    keep(k0, k1, close, settle(settled));
  }
};

template <class T, int M>
void ExtendRows(const ListProblem<T>& problem, Survivors<T>& tile, std::int64_t k0, std::int64_t k1, std::int64_t close,
                T* settled) {
  const hn::CappedTag<T, kTileRows> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = 0; row < kTileRows; row += lanes) {
    Strip<T, M> strip(problem, tile, row, lanes);
    if (k0 == 0) strip.start();
    strip.run(k0, k1, close, settled);
  }
}

template <class T>
HWY_INLINE void ExtendList(const ListProblem<T>& problem, Survivors<T>& tile, std::int64_t k0, std::int64_t k1,
                           std::int64_t close, T* settled) {
  switch (problem.survivors) {
    case 1:
      return ExtendRows<T, 1>(problem, tile, k0, k1, close, settled);
    case 2:
      return ExtendRows<T, 2>(problem, tile, k0, k1, close, settled);
    case 4:
      return ExtendRows<T, 4>(problem, tile, k0, k1, close, settled);
    default:
      return ExtendRows<T, 8>(problem, tile, k0, k1, close, settled);
  }
}

void ExtendListFloat(const ListProblem<float>& problem, Survivors<float>& tile, std::int64_t k0, std::int64_t k1,
                     std::int64_t close, float* settled) {
  ExtendList(problem, tile, k0, k1, close, settled);
}
void ExtendListDouble(const ListProblem<double>& problem, Survivors<double>& tile, std::int64_t k0, std::int64_t k1,
                      std::int64_t close, double* settled) {
  ExtendList(problem, tile, k0, k1, close, settled);
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane::lattice
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace nearplane::lattice {
HWY_EXPORT(ExtendListFloat);
HWY_EXPORT(ExtendListDouble);

template <class T>
Survivors<T>::Survivors(std::int64_t columns, int slots)
    : cost(Matrix<T>::uninitialized(1, slots * kTileRows)),
      differences(Matrix<T>::uninitialized(kListWindow + kListLeaf + 1, slots * kTileRows)),
      scratch(Matrix<T>::uninitialized(4 * kListLeaf + 6, slots * kTileRows)),
      row_class(1, kTileRows),
      t(Matrix<T>::uninitialized(columns, kTileRows)),
      feedback(columns, kTileRows) {}
template struct Survivors<float>;
template struct Survivors<double>;

void extend(const ListProblem<float>& problem, Survivors<float>& tile, std::int64_t k0, std::int64_t k1,
            std::int64_t close, float* settled) {
  HWY_DYNAMIC_DISPATCH(ExtendListFloat)(problem, tile, k0, k1, close, settled);
  tile.open = close;
}
void extend(const ListProblem<double>& problem, Survivors<double>& tile, std::int64_t k0, std::int64_t k1,
            std::int64_t close, double* settled) {
  HWY_DYNAMIC_DISPATCH(ExtendListDouble)(problem, tile, k0, k1, close, settled);
  tile.open = close;
}

}  // namespace nearplane::lattice
#endif
