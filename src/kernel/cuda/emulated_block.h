// A block of threads on one thread of the host: phases run warp after warp, lane after lane. Integer results are those
// of the device bit for bit, and so are f32 ones, since every operation is rounded alike. Shared memory has its exact
// size, filled with rubbish, for an address sanitizer to watch. Forwards and backwards runs of the same kernel differ
// where a phase reads what another warp or lane leaves in it; scratch memory that two warps use after each other is not
// seen. What keeps threads of a warp together is not emulated either: a device's own checks look for both.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "kernel/cuda/block.h"

namespace nearplane::cuda {

class EmulatedWarp {
 public:
  explicit EmulatedWarp(bool backwards) : backwards_(backwards) {}

  template <class T>
  using PerLane = std::array<T, kLanes>;

  template <class F>
  void each(const F& f) {
    for (int i = 0; i < kLanes; ++i) f(backwards_ ? kLanes - 1 - i : i);
  }
  void sync() {}
  template <class T>
  void add_across(PerLane<T>& v, int mask) {
    exchange(v, mask, [](T a, T b) { return a + b; });
  }
  void max_across(PerLane<float>& v, int mask) {
    exchange(v, mask, [](float a, float b) { return std::max(a, b); });
  }
  void prefix_sum(PerLane<std::uint32_t>& v) {
    for (std::size_t lane = 1; lane < kLanes; ++lane) v[lane] += v[lane - 1];
  }
  template <class A, class B, class C>
  void multiply(const A& a, const B& b, const C& c) {
    const auto byte = [](const std::uint32_t* words, int i) { return words[0] >> 8 * i & 255; };
    for (int row = 0; row < 16; ++row)
      for (int token = 0; token < 8; ++token) {
        std::int32_t sum = 0;
        for (int k = 0; k < 32; ++k) {
          const auto& weights = a(row % 8 * 4 + k % 16 / 4).word[row / 8 + k / 16 * 2];
          const auto& inputs = b(token * 4 + k % 16 / 4).word[k / 16];
          sum += static_cast<int>(byte(&weights, k % 4)) * static_cast<std::int8_t>(byte(&inputs, k % 4));
        }
        c(row % 8 * 4 + token / 2).sum[row / 8 * 2 + token % 2] += sum;
      }
  }

 private:
  template <class T, class F>
  void exchange(PerLane<T>& v, int mask, const F& f) {
    const auto before = v;
    for (int lane = 0; lane < kLanes; ++lane)
      v[static_cast<std::size_t>(lane)] =
          f(before[static_cast<std::size_t>(lane)], before[static_cast<std::size_t>(lane ^ mask)]);
  }
  bool backwards_;
};

class EmulatedBlock {
 public:
  using Warp = EmulatedWarp;
  EmulatedBlock(int index, int count, int warps, std::size_t shared_bytes, bool backwards)
      : index_(index), count_(count), warps_(warps), backwards_(backwards), memory_(shared_bytes, std::byte{0xa5}) {}

  int index() const { return index_; }
  int count() const { return count_; }
  int warps() const { return warps_; }
  std::byte* shared() { return memory_.data(); }
  template <class F>
  void each_warp(const F& f) {
    Warp warp(backwards_);
    for (int i = 0; i < warps_; ++i) f(warp, backwards_ ? warps_ - 1 - i : i);
  }

 private:
  int index_, count_, warps_;
  bool backwards_;
  std::vector<std::byte> memory_;
};

/// Runs body(block) for every block of a grid.
template <class Body>
void emulate(int blocks, int warps, std::size_t shared_bytes, bool backwards, const Body& body) {
  for (int i = 0; i < blocks; ++i) {
    EmulatedBlock block(backwards ? blocks - 1 - i : i, blocks, warps, shared_bytes, backwards);
    body(block);
  }
}

}  // namespace nearplane::cuda
