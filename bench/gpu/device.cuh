// What both programs of scripts/gpu-check share: a device or the reason why there is none, memory on it, and random
// matrices brought there.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "kernel/cuda/emulated.h"
#include "kernel/cuda/launch.cuh"

namespace nearplane::cuda {

inline constexpr int kNoDevice = 2;  // exit status

inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "gpu-check: %s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

/// Device 0. Ends the program with kNoDevice where kernels cannot run.
inline cudaDeviceProp open_device() {
  int count = 0;
  const auto error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    std::fprintf(stderr, "gpu-check: no NVIDIA GPU that this program can use: %s. Nothing was checked or measured.\n",
                 error != cudaSuccess ? cudaGetErrorString(error) : "there is no device");
    std::exit(kNoDevice);
  }
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0), "reading properties of device 0");
  if (device.major < 8) {
    std::fprintf(stderr, "gpu-check: %s has compute capability %d.%d, the kernels need 8.0. Nothing was checked.\n",
                 device.name, device.major, device.minor);
    std::exit(kNoDevice);
  }
  return device;
}

/// An array on the device.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t size) : size_(size) {
    check(cudaMalloc(&data_, std::max<std::size_t>(1, size) * sizeof(T)), "allocating");
  }
  explicit DeviceArray(const std::vector<T>& from) : DeviceArray(from.size()) {
    check(cudaMemcpy(data_, from.data(), size_ * sizeof(T), cudaMemcpyHostToDevice), "copying to the device");
  }
  DeviceArray(DeviceArray&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
  ~DeviceArray() { cudaFree(data_); }
  T* data() const { return data_; }
  std::vector<T> host() const {
    std::vector<T> out(size_);
    check(cudaMemcpy(out.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost), "copying from the device");
    return out;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

struct DeviceInputs {
  DeviceArray<float> x, scales;
  DeviceArray<std::uint32_t> high, low;
  DeviceArray<std::int32_t> sums;

  explicit DeviceInputs(const InputMemory& from)
      : x(from.x), scales(from.scales), high(from.high), low(from.low), sums(from.sums) {}
  Inputs view(int tokens) const { return {tokens, high.data(), low.data(), scales.data(), sums.data(), x.data()}; }
};

struct DeviceExtras {
  DeviceArray<std::uint32_t> starts;
  DeviceArray<ListEntry> list;
  DeviceArray<std::int32_t> kept_columns;
  DeviceArray<std::uint16_t> kept_values;
  DeviceArray<float> row_steps;

  explicit DeviceExtras(const ExtraLayout& from)
      : starts(from.starts),
        list(from.list),
        kept_columns(from.kept_columns),
        kept_values(from.kept_values),
        row_steps(from.row_steps) {}
  /// Null where `from` has nothing.
  RowExtras view(const ExtraLayout& from) const {
    return {from.starts.empty() ? nullptr : starts.data(),
            list.data(),
            kept_columns.data(),
            static_cast<int>(from.kept_columns.size()),
            kept_values.data(),
            from.row_steps.empty() ? nullptr : row_steps.data()};
  }
};

}  // namespace nearplane::cuda
