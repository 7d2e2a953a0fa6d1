// Choosing among a few vectors lane by lane: what both list searches keep survivors with. Included once for every
// vector target (Highway's -inl.h).
#if defined(NEARPLANE_SELECT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef NEARPLANE_SELECT_INL_H
#undef NEARPLANE_SELECT_INL_H
#else
#define NEARPLANE_SELECT_INL_H
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace nearplane::lattice {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int log2_of(int k) { return k <= 1 ? 0 : 1 + log2_of(k / 2); }

// from[index] lane by lane, index given by the masks of its bits.
template <int K, class V, class M>
HWY_INLINE V Pick(const V* from, const M* bits) {
  if constexpr (K == 1) {
    return from[0];
  } else {
    V half[K / 2];
    for (int i = 0; i < K / 2; ++i) half[i] = hn::IfThenElse(bits[0], from[2 * i + 1], from[2 * i]);
    return Pick<K / 2>(half, bits + 1);
  }
}

// Batcher's odd-even merge sort, ascending.
template <int K, class V>
HWY_INLINE void Sort(V* x) {
  for (int p = 1; p < K; p *= 2)
    for (int k = p; k >= 1; k /= 2)
      for (int j = k % p; j + k < K; j += 2 * k)
        for (int i = 0; i < k && i + j + k < K; ++i)
          if ((i + j) / (2 * p) == (i + j + k) / (2 * p)) {
            const V low = hn::Min(x[i + j], x[i + j + k]), high = hn::Max(x[i + j], x[i + j + k]);
            x[i + j] = low, x[i + j + k] = high;
          }
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane::lattice
HWY_AFTER_NAMESPACE();

#endif
