// A block of threads as kernel bodies see it. A body is a row of phases: each_warp(f) runs f for every warp, then all
// wait; within it warp.each(g) runs g for every lane, and the operations of a warp exchange what lanes hold in a
// PerLane. Here a warp is 32 threads of the device, and a lane holds what is its own; emulated_block.h runs the same
// phases on one thread of the host, where a PerLane is an array.
#pragma once

#include "kernel/cuda/lane.h"

namespace nearplane::cuda {

/// Of m16n8k32: what a lane holds of the weights (16 rows, 32 columns, unsigned), of the inputs (32 columns, 8 tokens,
/// signed) and of the sums. Lane = 4 g + q: weights of rows g, g + 8, g, g + 8 in columns 4q... (words 0, 1) and
/// 16 + 4q... (2, 3); inputs of token g in the same columns; sums of rows g (0, 1) and g + 8 (2, 3), tokens 2q, 2q + 1.
struct WeightFragment {
  std::uint32_t word[4];
};
struct InputFragment {
  std::uint32_t word[2];
};
struct SumFragment {
  std::int32_t sum[4];
};

#ifdef __CUDACC__

struct DeviceWarp {
  template <class T>
  struct PerLane {
    T own;
    __device__ T& operator[](int) { return own; }
  };

  template <class F>
  __device__ void each(const F& f) {
    f(static_cast<int>(threadIdx.x % kLanes));
  }
  /// Lanes see what others have written to shared memory before.
  __device__ void sync() { __syncwarp(); }
  /// v[lane] += v[lane ^ mask].
  __device__ void add_across(PerLane<float>& v, int mask) { v.own += __shfl_xor_sync(~0u, v.own, mask); }
  __device__ void add_across(PerLane<std::int32_t>& v, int mask) { v.own += __shfl_xor_sync(~0u, v.own, mask); }
  __device__ void max_across(PerLane<float>& v, int mask) { v.own = fmaxf(v.own, __shfl_xor_sync(~0u, v.own, mask)); }
  /// v[lane] = the sum of v[0 ... lane].
  __device__ void prefix_sum(PerLane<std::uint32_t>& v) {
    const int lane = static_cast<int>(threadIdx.x % kLanes);
    for (int by = 1; by < kLanes; by *= 2) {
      const auto before = __shfl_up_sync(~0u, v.own, by);
      if (lane >= by) v.own += before;
    }
  }
  /// sums += weights inputs of a whole warp; each is called with a lane and gives its fragment.
  template <class A, class B, class C>
  __device__ void multiply(const A& weights, const B& inputs, const C& sums) {
    const WeightFragment& a = weights(0);
    const InputFragment& b = inputs(0);
    SumFragment& c = sums(0);
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(c.sum[0]), "+r"(c.sum[1]), "+r"(c.sum[2]), "+r"(c.sum[3])
        : "r"(a.word[0]), "r"(a.word[1]), "r"(a.word[2]), "r"(a.word[3]), "r"(b.word[0]), "r"(b.word[1]));
  }
};

struct DeviceBlock {
  using Warp = DeviceWarp;
  __device__ int index() const { return static_cast<int>(blockIdx.x); }
  __device__ int count() const { return static_cast<int>(gridDim.x); }
  __device__ int warps() const { return static_cast<int>(blockDim.x / kLanes); }
  /// Shared memory, 16-byte aligned.
  __device__ std::byte* shared() const {
    extern __shared__ Line memory[];
    return reinterpret_cast<std::byte*>(memory);
  }
  template <class F>
  __device__ void each_warp(const F& f) {
    Warp warp;
    f(warp, static_cast<int>(threadIdx.x / kLanes));
    __syncthreads();
  }
};

#endif

}  // namespace nearplane::cuda
