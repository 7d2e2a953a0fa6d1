// What a checkpoint format is to the exporter: which tensors stand for a quantized layer, their bytes, the
// configuration that readers look at, and the way back. Everything else (kept tensors, shards, side files) is the same
// for all formats.
#pragma once

#include <string>
#include <vector>

#include "container/safetensors_write.h"
#include "container/tensor_file.h"
#include "exporter/unpack.h"
#include "qtensor/integer_tensor.h"

namespace nearplane {

/// Grid settings that all layers of an exported model share.
struct ExportGrid {
  int bits = 0;
  std::int64_t group = 0;  // columns that share a scale; 0 = one scale per row
  bool symmetric = false;
};

class Format {
 public:
  virtual ~Format() = default;
  /// Error{unsupported} at `where` if a layer of these sizes cannot be carried exactly.
  virtual void check(const IntegerTensor& sizes, const std::string& where) const = 0;
  /// The tensors that stand for the layer `name`, in the order write() hands them over.
  virtual std::vector<TensorLayout> tensors(const std::string& name, const IntegerTensor& sizes) const = 0;
  /// Calls `out` once with the bytes of each tensor.
  virtual void write(const IntegerTensor& layer, const ByteSink& out) const = 0;
  /// quantization_config of config.json.
  virtual Json config(const ExportGrid& grid) const = 0;
  /// A further file that says the same for older readers; empty = none.
  virtual std::string config_file() const { return {}; }
  /// Layer `name` decoded from a written checkpoint. Error{bad_input} if file and config do not fit together.
  virtual Unpacked read(const TensorFile& file, const Json& config, const std::string& name) const = 0;
};

const Format& gptq_format();                // docs/formats/gptq.md
const Format& compressed_tensors_format();  // docs/formats/compressed-tensors.md

}  // namespace nearplane
