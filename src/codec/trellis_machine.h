// Dependent quantization: the next weight of a row is rounded by one of two quantizers, chosen by a state machine that
// the parities of the levels before it drive. The union of both is a grid of half the step, of which every weight sees
// only a part, and a search over the paths (Viterbi) finds the best reachable sequence.
//
// Points are integers on the half grid. Quantizer 0 has the even points, quantizer 1 the odd points and zero:
//   level      ... -2 -1  0  1  2 ...
//   quantizer 0    -4 -2  0  2  4
//   quantizer 1    -3 -1  0  1  3
// The machine is a systematic feedback encoder: the low bit of the state picks the quantizer; then the state shifts
// down by one, and the taps h0 are added (mod 2) if that bit was set, the taps h1 if the level is odd. Taps in octal, 4
// states: 5, 2; 8: 13, 4; 16: 23, 4.
// Sources: Ungerboeck, Channel coding with multilevel/phase signals, IEEE Trans. Inform. Theory 28 (1982), table I;
// Marcellin and Fischer, Trellis coded quantization, IEEE Trans. Commun. 38 (1990).
#pragma once

#ifdef __CUDACC__
#define NEARPLANE_HOST_DEVICE __host__ __device__
#else
#define NEARPLANE_HOST_DEVICE
#endif

namespace nearplane {

/// One state is no trellis: a single quantizer, whose points are its levels (the grid of the whole step).
struct Trellis {
  int states = 1;
  int h0 = 0, h1 = 0;  // taps without the first bit of the octal numbers, which would act at once

  /// 0 or 1.
  NEARPLANE_HOST_DEVICE static constexpr int quantizer(int state) { return state & 1; }
  /// State of the next weight after `level` in `state`; every row starts in state 0.
  NEARPLANE_HOST_DEVICE constexpr int next(int state, int level) const {
    return state >> 1 ^ (state & 1 ? h0 : 0) ^ (level & 1 ? h1 : 0);
  }
  /// Grid points per step: 1 without a trellis, 2 with one.
  NEARPLANE_HOST_DEVICE constexpr int points_per_step() const { return states == 1 ? 1 : 2; }
  /// Grid point of `level` in `state`; |level| < 2^30.
  NEARPLANE_HOST_DEVICE constexpr int point(int state, int level) const {
    const int sign = (level > 0) - (level < 0);
    return states == 1 ? level : 2 * level - (quantizer(state) == 1 ? sign : 0);
  }
  constexpr bool operator==(const Trellis&) const = default;
};

inline constexpr Trellis kTrellises[] = {{}, {4, 05 >> 1, 02 >> 1}, {8, 013 >> 1, 04 >> 1}, {16, 023 >> 1, 04 >> 1}};

/// The machine with 1, 4, 8 or 16 states; nullptr for other numbers.
constexpr const Trellis* find_trellis(int states) {
  for (const auto& trellis : kTrellises)
    if (trellis.states == states) return &trellis;
  return nullptr;
}

}  // namespace nearplane
