// The kernels as a device launches them: one function for each body and shape.
#pragma once

#include "kernel/cuda/dense_tokens.h"
#include "kernel/cuda/tuple.h"

namespace nearplane::cuda {

inline constexpr int kGemvWarps = 16, kTokensWarps = 8, kTupleWarps = 32;

__global__ void inputs_kernel(PieceShape shape, Inputs out) {
  DeviceBlock block;
  pack_inputs(block, shape, out);
}

/// Grid: row_blocks().
template <int kBits>
__global__ void __launch_bounds__(kGemvWarps* kLanes, 2) gemv_kernel(DenseMatrix w, Inputs in, float* y) {
  DeviceBlock block;
  dense_gemv<kBits>(block, w, in, y);
}

/// Grid: row_blocks(); at most 8 kBlocks tokens.
template <int kBits, int kBlocks>
__global__ void __launch_bounds__(kTokensWarps* kLanes, kBlocks == 4 ? 1 : 2)
    tokens_kernel(DenseMatrix w, Inputs in, float* y) {
  DeviceBlock block;
  dense_tokens<kBits, kBlocks>(block, w, in, y);
}

/// Grid: one block for each multiprocessor, not more than row_blocks().
template <int kK, bool kStates>
__global__ void __launch_bounds__(kTupleWarps* kLanes, 1) tuple_kernel(TupleMatrix w, Inputs in, float* y) {
  DeviceBlock block;
  tuple_gemv<kK, kStates>(block, w, in, y);
}

}  // namespace nearplane::cuda
