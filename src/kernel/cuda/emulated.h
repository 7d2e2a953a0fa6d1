// Kernels run on the host: emulated grids as a device would launch them.
#pragma once

#include "kernel/cuda/dense_tokens.h"
#include "kernel/cuda/emulated_block.h"
#include "kernel/cuda/kernel_case.h"

namespace nearplane::cuda {

inline InputMemory emulate_inputs(const PieceShape& shape, int tokens, std::vector<float> x, bool backwards = false) {
  InputMemory in(shape, tokens, std::move(x));
  constexpr int kWarps = 4;
  emulate((tokens * shape.pieces + kWarps - 1) / kWarps, kWarps, 0, backwards,
          [&](EmulatedBlock& block) { pack_inputs(block, shape, in.view()); });
  return in;
}

/// kBlocks = 0: dense_gemv, of one token; else dense_tokens. y [T, rows].
template <int kBits, int kBlocks>
std::vector<float> emulate_dense(const DenseMatrix& w, const Inputs& in, int warps, bool backwards = false) {
  std::vector<float> y(static_cast<std::size_t>(in.tokens * w.rows));
  const auto shared = static_cast<std::size_t>(part_bytes(warps, in.tokens));
  emulate(w.row_blocks(), warps, shared, backwards, [&](EmulatedBlock& block) {
    if constexpr (kBlocks == 0)
      dense_gemv<kBits>(block, w, in, y.data());
    else
      dense_tokens<kBits, kBlocks>(block, w, in, y.data());
  });
  return y;
}

template <int kK, bool kStates>
std::vector<float> emulate_tuple(TupleMatrix w, const Inputs& in, int blocks, int shared_bytes,
                                 bool backwards = false) {
  const int warps = fit_shared(w, shared_bytes);
  std::vector<float> y(static_cast<std::size_t>(w.rows));
  emulate(blocks, warps, static_cast<std::size_t>(w.shared_bytes(warps)), backwards,
          [&](EmulatedBlock& block) { tuple_gemv<kK, kStates>(block, w, in, y.data()); });
  return y;
}

}  // namespace nearplane::cuda
