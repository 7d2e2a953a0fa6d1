// Tensors that are no quantized layers, in a file that has no ggml block types: floating types stay as they are, byte
// for byte; block types, and an embedding or head in codes, become F16 if every value is an f16 number, else F32, so
// that no value changes.
#pragma once

#include "container/safetensors_write.h"
#include "container/tensor_file.h"
#include "qtensor/quantized_tensor.h"

namespace nearplane {

struct KeptExport {
  DType dtype = DType::f32;  // in the exported file
  bool exact = false;        // a reader that computes in f16 sees the same numbers
  double largest = 0;        // magnitude; above 65504 such a reader would see infinity
};

KeptExport plan_kept(const StoredTensor& tensor);
KeptExport plan_kept(const QuantizedTensor& table);

/// The tensor as `dtype`, in pieces in order. `dtype` is the tensor's own or the one of plan_kept.
void write_kept(const StoredTensor& tensor, DType dtype, const ByteSink& out);
void write_kept(const QuantizedTensor& table, DType dtype, const ByteSink& out);

/// True if `exported` has the shape and exactly the values of `tensor`.
bool same_values(const StoredTensor& tensor, const StoredTensor& exported);
bool same_values(const QuantizedTensor& table, const StoredTensor& exported);

}  // namespace nearplane
