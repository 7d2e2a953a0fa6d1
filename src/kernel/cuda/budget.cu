// What budget.py compiles and counts: every kernel, and for each inner loop two functions that do it a fixed number of
// times without a loop, so that the difference is what one time costs.
#include "kernel/cuda/kernels.cuh"

namespace nearplane::cuda {

#define NEARPLANE_EACH_BITS(of) of(2) of(3) of(4) of(8)
#define NEARPLANE_KERNELS(bits)                                                    \
  template __global__ void gemv_kernel<bits>(DenseMatrix, Inputs, float*);         \
  template __global__ void decode_dense_kernel<bits>(DenseMatrix, std::uint16_t*); \
  template __global__ void tokens_kernel<bits, 1>(DenseMatrix, Inputs, float*);    \
  template __global__ void tokens_kernel<bits, 2>(DenseMatrix, Inputs, float*);    \
  template __global__ void tokens_kernel<bits, 4>(DenseMatrix, Inputs, float*);
NEARPLANE_EACH_BITS(NEARPLANE_KERNELS)
#define NEARPLANE_EACH_TUPLE(of) of(1, false) of(2, false) of(3, false) of(1, true) of(2, true) of(3, true)
#define NEARPLANE_TUPLE_KERNELS(k, states)                                       \
  template __global__ void tuple_kernel<k, states>(TupleMatrix, Inputs, float*); \
  template __global__ void decode_tuple_kernel<k, states>(TupleMatrix, std::uint16_t*);
NEARPLANE_EACH_TUPLE(NEARPLANE_TUPLE_KERNELS)

/// kCount tiles of 64 weights of a lane.
template <int kBits, int kCount>
__global__ void gemv_probe(DenseMatrix w, Inputs in, std::int32_t* y) {
  PieceSum<kBits> sum;
  NEARPLANE_UNROLL
  for (int tile = 0; tile < kCount; ++tile) sum.add_tile(w, in, blockIdx.x, tile, threadIdx.x);
  y[threadIdx.x] = sum.total();
}
#define NEARPLANE_GEMV_PROBES(bits)                                                 \
  template __global__ void gemv_probe<bits, 2>(DenseMatrix, Inputs, std::int32_t*); \
  template __global__ void gemv_probe<bits, 4>(DenseMatrix, Inputs, std::int32_t*);
NEARPLANE_EACH_BITS(NEARPLANE_GEMV_PROBES)

/// kCount tiles of 64 weights of a lane, 8 kBlocks tokens.
template <int kBits, int kBlocks, int kCount>
__global__ void tokens_probe(DenseMatrix w, Inputs in, std::int32_t* y) {
  DeviceWarp warp;
  DeviceWarp::PerLane<TokenSums<kBlocks>> state{};
  NEARPLANE_UNROLL
  for (int tile = 0; tile < kCount; ++tile)
    dense_tokens_tile<kBits, kBlocks>(warp, state, w, in, static_cast<int>(blockIdx.x), tile);
  NEARPLANE_UNROLL
  for (int i = 0; i < 2 * kBlocks * 4; ++i)
    y[i * 256 + threadIdx.x] =
        state.own.high_sum[i / 4 % 2][i / 8].sum[i % 4] + state.own.low_sum[i / 4 % 2][i / 8].sum[i % 4];
}
#define NEARPLANE_TOKENS_PROBES(bits)                                                    \
  template __global__ void tokens_probe<bits, 2, 2>(DenseMatrix, Inputs, std::int32_t*); \
  template __global__ void tokens_probe<bits, 2, 4>(DenseMatrix, Inputs, std::int32_t*);
NEARPLANE_EACH_BITS(NEARPLANE_TOKENS_PROBES)

/// kCount groups of three tuples of a lane.
template <int kK, bool kStates, int kCount>
__global__ void __launch_bounds__(kTupleWarps* kLanes, 1) tuple_probe(TupleMatrix w, Inputs in, std::int32_t* y) {
  extern __shared__ Line memory[];
  const auto* table = reinterpret_cast<const std::uint32_t*>(memory);
  y[threadIdx.x] = substream_product<kK, kStates>(
      w, kCount, {table + threadIdx.x, table + w.table_words(), 99, threadIdx.x}, in, static_cast<int>(blockIdx.x));
}
#define NEARPLANE_TUPLE_PROBES(k, states)                                                 \
  template __global__ void tuple_probe<k, states, 2>(TupleMatrix, Inputs, std::int32_t*); \
  template __global__ void tuple_probe<k, states, 4>(TupleMatrix, Inputs, std::int32_t*);
NEARPLANE_EACH_TUPLE(NEARPLANE_TUPLE_PROBES)

}  // namespace nearplane::cuda
