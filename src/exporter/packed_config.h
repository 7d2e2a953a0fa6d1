// The quantization_config of a checkpoint in packed integer codes: which bits and groups each of its layers has.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"

namespace nearplane {

/// Grid settings of a layer.
struct ExportGrid {
  int bits = 0;
  std::int64_t group = 0;  // columns that share a scale; 0 = one scale per row
  bool symmetric = false;
  bool operator==(const ExportGrid&) const = default;
};

struct LayerGrid {
  std::string name;
  ExportGrid grid;
};

class PackedConfig {
 public:
  enum class Kind { gptq, gptq_v2, compressed_tensors };

  /// True for the methods this class reads: "gptq", and "compressed-tensors" of format pack-quantized.
  static bool known(const Json& config);
  /// Error{bad_input} names the key that is missing or out of range, Error{unsupported} what is not known.
  PackedConfig(const Json& config, const std::string& where);

  Kind kind() const { return kind_; }
  const std::string& where() const { return where_; }
  /// Settings of a layer by its module name; of several rules that match, the most exact, then the first.
  /// Error{bad_input} if the config does not speak of it.
  ExportGrid grid(const std::string& layer) const;

 private:
  class Pattern;
  struct Rule {
    std::shared_ptr<const Pattern> pattern;
    ExportGrid grid;
    bool excluded = false;  // layers that are said not to be quantized
  };
  void read_gptq(const Json& config);
  void read_compressed_tensors(const Json& config);

  Kind kind_;
  std::string where_;
  std::vector<Rule> rules_;
};

}  // namespace nearplane
