// A quantized layer as tensors of a part of the store, and its entry in the part's description; docs/formats/store.md.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "container/safetensors_write.h"
#include "container/tensor_file.h"
#include "qtensor/quantized_tensor.h"

namespace nearplane {

/// The entry of `t`; appends its tensors, which refer to its bytes.
Json write_layer(const std::string& name, const QuantizedTensor& t, std::vector<TensorToWrite>& tensors);

/// A layer in an open part, not yet read.
struct StoredLayer {
  QuantizedTensor layout;                   // sizes and settings, no data
  std::vector<const StoredTensor*> pieces;  // in the order of the checksum; nullptr = absent, no bytes
  SparseList::Layout list;                  // of a sparse layer
  std::string checksum, where;

  /// Error{bad_input} if the part does not have the tensors the entry says, with the sizes it says;
  /// Error{unsupported} for a kind this version does not know.
  static StoredLayer open(const TensorFile& part, const std::string& name, const Json& entry);
  /// Copies the bytes and verifies checksum and content. Error{bad_input} naming file and tensor.
  QuantizedTensor read() const;
};

}  // namespace nearplane
