// Layers of a store in the layouts of the device (docs/kernels-gpu.md), repacked when a model is loaded: one function
// for each representation. nullopt where no kernel takes the layer: it has to be decoded.
#pragma once

#include <optional>
#include <vector>

#include "kernel/cuda/device_layout.h"
#include "qtensor/coded_tensor.h"
#include "qtensor/integer_tensor.h"
#include "qtensor/sparse_tensor.h"

namespace nearplane {

struct DeviceDense {
  cuda::DenseLayout codes;  // 5 to 7 bits are held as 8
  cuda::ExtraLayout extras;

  cuda::DenseMatrix view() const {
    auto out = codes.view();
    out.extras = extras.view();
    return out;
  }
};

struct DeviceTuples {
  cuda::TupleLayout words;
  cuda::ExtraLayout extras;
  std::vector<float> column_factors;  // [cols], of the inputs

  cuda::TupleMatrix view() const {
    auto out = words.view();
    out.extras = extras.view();
    return out;
  }
};

/// nullopt: groups that are neither whole rows nor a multiple of 64 columns; more than 65536 columns of a sparse layer.
std::optional<DeviceDense> device_dense(const IntegerTensor& tensor);
std::optional<DeviceDense> device_dense(const SparseTensor& tensor);
/// Recoded with a code whose table stays in shared memory. nullopt: levels beyond 16383, more than 65536 columns, a
/// trellis whose restarts are none or too far apart for a substream. Uses all threads to decode; throws
/// Error{bad_input} for damaged streams.
std::optional<DeviceTuples> device_tuples(const CodedTensor& tensor);

}  // namespace nearplane
