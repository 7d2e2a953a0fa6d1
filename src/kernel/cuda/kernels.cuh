// The kernels as a device launches them: one function for each body and shape.
#pragma once

#include "kernel/cuda/decode.h"
#include "kernel/cuda/dense_tokens.h"

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

/// A warp for each tile of 32 rows.
template <int kBits>
__global__ void decode_dense_kernel(DenseMatrix w, std::uint16_t* out) {
  DeviceBlock block;
  decode_dense<kBits>(block, w, out);
}

/// Grid: one block for each multiprocessor.
template <int kK, bool kStates>
__global__ void __launch_bounds__(kTupleWarps* kLanes, 1) decode_tuple_kernel(TupleMatrix w, std::uint16_t* out) {
  DeviceBlock block;
  decode_tuple<kK, kStates>(block, w, out);
}

/// A warp for each token and row.
__global__ void dense_extras_kernel(DenseMatrix w, Inputs in, float* y) {
  DeviceBlock block;
  add_extras(block, w.extras, in.x, in.tokens, w.rows, w.cols, y, list_step(w));
}
__global__ void tuple_extras_kernel(TupleMatrix w, Inputs in, float* y) {
  DeviceBlock block;
  add_extras(block, w.extras, in.x, in.tokens, w.rows, w.cols, y, [](int, int) { return 1.0f; });
}

}  // namespace nearplane::cuda
