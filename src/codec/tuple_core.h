// The step that decodes one word of a tuple stream, in plain integers: the same lines run in loops over rows here, in
// the lanes of a GPU kernel and in tests. docs/formats/streams.md has the table entry.
#pragma once

#include <cstdint>

#include "codec/trellis_machine.h"

namespace nearplane {

/// Of tuples of kK levels. `window` holds the next bits of the stream from bit `scale` on, the first of them lowest;
/// `last` is the entry of the word before, 0 where the state is 0.
template <int kK>
struct TupleCore {
  std::uint32_t window_mask, state_field;  // (2^bits - 1) 2^scale, (states - 1) 2^(bits + scale)
  int state_shift;

  NEARPLANE_HOST_DEVICE static constexpr TupleCore of(int bits, int states, int scale = 0) {
    return {((1u << bits) - 1) << scale, static_cast<std::uint32_t>(states - 1) << (bits + scale),
            scale + (kK == 3 ? bits - 6 : 0)};
  }
  /// Where in the table the next entry is, times 2^scale.
  NEARPLANE_HOST_DEVICE constexpr std::uint32_t place(std::uint32_t window, std::uint32_t last) const {
    return (window & window_mask) | (last << state_shift & state_field);
  }
  /// Bits to go on by: a shift by `entry` needs no mask where the machine takes shifts modulo 64.
  NEARPLANE_HOST_DEVICE static constexpr std::uint32_t length(std::uint32_t entry) { return entry & 63; }
  /// Byte i: point i of the tuple, made unsigned.
  NEARPLANE_HOST_DEVICE static constexpr std::uint32_t points(std::uint32_t entry) { return entry >> (32 - 8 * kK); }
};

}  // namespace nearplane
