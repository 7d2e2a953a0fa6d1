// What a checkpoint format is to the exporter: which tensors stand for a quantized layer, their bytes, the
// configuration that readers look at (PackedConfig is the way back). Everything else (kept tensors, shards, side files)
// is the same for all formats.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "container/safetensors_write.h"
#include "exporter/packed_config.h"
#include "qtensor/integer_tensor.h"

namespace nearplane {

class Format {
 public:
  virtual ~Format() = default;
  /// Error{unsupported} at `where` if a layer of these sizes cannot be carried exactly.
  virtual void check(const IntegerTensor& sizes, const std::string& where) const = 0;
  /// The tensors that stand for the layer `name`, in the order write() hands them over.
  virtual std::vector<TensorLayout> tensors(const std::string& name, const IntegerTensor& sizes) const = 0;
  /// Calls `out` once with the bytes of each tensor.
  virtual void write(const IntegerTensor& layer, const ByteSink& out) const = 0;
  /// quantization_config of config.json for these layers, at least one; settings that differ are said layer by layer.
  virtual Json config(std::span<const LayerGrid> layers) const = 0;
  /// A further file that says the same for older readers; empty = none.
  virtual std::string config_file() const { return {}; }
};

/// The settings that most layers have (of equally many, those of the first).
ExportGrid most_common(std::span<const LayerGrid> layers);

const Format& gptq_format();                // docs/formats/gptq.md
const Format& gptq_v2_format();             // the same, zero points as they are
const Format& compressed_tensors_format();  // docs/formats/compressed-tensors.md

}  // namespace nearplane
