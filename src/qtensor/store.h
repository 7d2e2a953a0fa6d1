// The native store: a folder with the quantized layers of a model, everything else of the model unchanged, and a
// record. docs/formats/store.md describes every byte. Parts are written whole (atomic, synced) or not at all, each
// tensor with a checksum; a folder without nearplane.json is an unfinished store.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "container/tensor_file.h"
#include "qtensor/quantized_tensor.h"

namespace nearplane {

/// A tensor kept as it was in the source model, in its stored type (ggml blocks included).
struct KeptTensor {
  std::string name;
  DType dtype;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

/// Writes a store into a folder that its caller made and gives a name when all is in it (base/atomic_file.h).
class StoreWriter {
 public:
  explicit StoreWriter(const std::filesystem::path& folder);
  ~StoreWriter();

  /// Writes one part file; `part` is its stem ("block-00003", "rest"). Returns its entry in the manifest.
  /// Error{bad_input} for a name written before or a tensor that is not valid; Error{io}.
  Json write_part(const std::string& part, const std::vector<std::pair<std::string, const QuantizedTensor*>>& quantized,
                  const std::vector<KeptTensor>& kept);
  /// The next part is one that was written before, by a process that did not come to its end. Reads all of it.
  /// Error{bad_input} if it is not what its entry says, to the last bit.
  void take_part(const Json& entry);
  /// A text file beside the parts (config.json, tokenizer.json, record.json, ...).
  void write_text(const std::string& name, std::string_view text);
  /// Writes nearplane.json (with `manifest` merged in; not the keys format, version, parts).
  void finish(const Json& manifest);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Store {
 public:
  /// Opens and checks a store: version, every part present, every tensor inside its part with the sizes its header
  /// says. Checksums are verified by verify(). Error{bad_input, unsupported, io}.
  static Store open(const std::filesystem::path& path);
  /// True if `path` is a folder with nearplane.json.
  static bool is_store(const std::filesystem::path& path);

  const std::filesystem::path& path() const;
  const Json& manifest() const;
  /// Names in order of the parts.
  const std::vector<std::string>& quantized_names() const;
  const std::vector<std::string>& kept_names() const;
  /// Sizes and settings of a layer, without its data.
  const QuantizedTensor& layout(const std::string& name) const;
  /// Bytes of its tensors: stored_bytes() of the layer.
  std::int64_t stored_bytes(const std::string& name) const;
  /// Reads a layer (copies its bytes) and verifies its checksum. Error{bad_input} naming file and tensor.
  QuantizedTensor quantized(const std::string& name) const;
  /// A view into the mapped file: as in the source model.
  const StoredTensor& kept(const std::string& name) const;
  /// Reads everything and compares every checksum.
  void verify() const;

 private:
  friend class StoreWriter;
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace nearplane
