// Starts the kernels on a stream: picks the function for bits, tokens, k and states at run time, and the shape of the
// grid. What a device cannot run is an error to the caller, never another result.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <type_traits>

#include "kernel/cuda/kernels.cuh"

namespace nearplane::cuda {

inline constexpr int kMostTokens = 32;  // of dense kernels; tuple kernels take one

/// What a launch has to know of a device.
struct DeviceLimits {
  int multiprocessors, shared_bytes;

  static DeviceLimits of(int device) {
    DeviceLimits out{};
    cudaDeviceGetAttribute(&out.multiprocessors, cudaDevAttrMultiProcessorCount, device);
    cudaDeviceGetAttribute(&out.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    return out;
  }
};

namespace detail {

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), std::int64_t blocks, int warps, int shared, cudaStream_t stream,
                   Arguments... arguments) {
  if (shared > 48 * 1024)
    if (const auto e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared)) return e;
  kernel<<<static_cast<unsigned>(blocks), static_cast<unsigned>(warps * kLanes), static_cast<std::size_t>(shared),
           stream>>>(arguments...);
  return cudaGetLastError();
}

template <int kBits>
cudaError_t dense(const DenseMatrix& w, const Inputs& in, float* y, cudaStream_t stream) {
  const int tokens = in.tokens;
  if (tokens == 1)
    return launch(gemv_kernel<kBits>, w.row_blocks(), kGemvWarps, part_bytes(kGemvWarps, 1), stream, w, in, y);
  const auto kernel = tokens <= kProductTokens       ? tokens_kernel<kBits, 1>
                      : tokens <= 2 * kProductTokens ? tokens_kernel<kBits, 2>
                                                     : tokens_kernel<kBits, 4>;
  return launch(kernel, w.row_blocks(), kTokensWarps, part_bytes(kTokensWarps, tokens), stream, w, in, y);
}

}  // namespace detail

inline cudaError_t launch_inputs(const PieceShape& shape, const Inputs& out, cudaStream_t stream) {
  constexpr int kWarps = 4;
  return detail::launch(inputs_kernel, (out.tokens * shape.pieces + kWarps - 1) / kWarps, kWarps, 0, stream, shape,
                        out);
}

/// y [T, rows] for at most kMostTokens tokens.
inline cudaError_t launch_dense(const DenseMatrix& w, const Inputs& in, float* y, cudaStream_t stream) {
  if (in.tokens < 1 || in.tokens > kMostTokens) return cudaErrorInvalidValue;
  if (w.bits == 2) return detail::dense<2>(w, in, y, stream);
  if (w.bits == 3) return detail::dense<3>(w, in, y, stream);
  if (w.bits == 4) return detail::dense<4>(w, in, y, stream);
  if (w.bits == 8) return detail::dense<8>(w, in, y, stream);
  return cudaErrorInvalidValue;
}

/// out [rows][decoded_stride(w)].
inline cudaError_t launch_decode(const DenseMatrix& w, const DeviceLimits&, std::uint16_t* out, cudaStream_t stream) {
  constexpr int kWarps = 4;
  const auto kernel = w.bits == 2   ? decode_dense_kernel<2>
                      : w.bits == 3 ? decode_dense_kernel<3>
                      : w.bits == 4 ? decode_dense_kernel<4>
                                    : decode_dense_kernel<8>;
  const auto tiles = static_cast<std::int64_t>(w.row_blocks()) * w.tiles;
  return detail::launch(kernel, (tiles + kWarps - 1) / kWarps, kWarps, 0, stream, w, out);
}

namespace detail {

// kernel_of(k, states or not), both integral constants, is the function.
template <class KernelOf, class... Arguments>
cudaError_t tuple(TupleMatrix w, const DeviceLimits& device, cudaStream_t stream, const KernelOf& kernel_of,
                  Arguments... arguments) {
  const int warps = fit_shared(w, device.shared_bytes);
  if (warps == 0) return cudaErrorInvalidConfiguration;
  const auto start = [&](auto* kernel) {
    return launch(kernel, std::min(device.multiprocessors, w.row_blocks()), warps, w.shared_bytes(warps), stream, w,
                  arguments...);
  };
  const auto with = [&](auto k) {
    return w.states > 1 ? start(kernel_of(k, std::true_type())) : start(kernel_of(k, std::false_type()));
  };
  if (w.k == 1) return with(std::integral_constant<int, 1>());
  if (w.k == 2) return with(std::integral_constant<int, 2>());
  return with(std::integral_constant<int, 3>());
}

}  // namespace detail

/// y [rows] of one token; cudaErrorInvalidConfiguration if the table does not fit the device.
inline cudaError_t launch_tuple(const TupleMatrix& w, const DeviceLimits& device, const Inputs& in, float* y,
                                cudaStream_t stream) {
  if (in.tokens != 1) return cudaErrorInvalidValue;
  return detail::tuple(
      w, device, stream, [](auto k, auto states) { return tuple_kernel<k.value, states.value>; }, in, y);
}

inline cudaError_t launch_decode(const TupleMatrix& w, const DeviceLimits& device, std::uint16_t* out,
                                 cudaStream_t stream) {
  return detail::tuple(
      w, device, stream, [](auto k, auto states) { return decode_tuple_kernel<k.value, states.value>; }, out);
}

/// y [T, rows] += what list and kept columns add.
inline cudaError_t launch_extras(const DenseMatrix& w, const Inputs& in, float* y, cudaStream_t stream) {
  constexpr int kWarps = 4;
  const auto items = static_cast<std::int64_t>(in.tokens) * w.rows;
  return detail::launch(dense_extras_kernel, (items + kWarps - 1) / kWarps, kWarps, 0, stream, w, in, y);
}
inline cudaError_t launch_extras(const TupleMatrix& w, const Inputs& in, float* y, cudaStream_t stream) {
  constexpr int kWarps = 4;
  const auto items = static_cast<std::int64_t>(in.tokens) * w.rows;
  return detail::launch(tuple_extras_kernel, (items + kWarps - 1) / kWarps, kWarps, 0, stream, w, in, y);
}

}  // namespace nearplane::cuda
