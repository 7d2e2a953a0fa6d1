// Named tensors in files, memory-mapped: what safetensors, sharded safetensors and GGUF have in common.
// A container knows bytes, types and shapes; it knows no model. Thread-safe for reading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/mapped_file.h"
#include "tensor/dtype.h"

namespace nearplane {

/// One tensor as it lies in its file. `bytes` points into the mapping owned by the TensorFile and may be unaligned.
struct StoredTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;  // outermost first (as in safetensors; GGUF dimensions are reversed on reading)
  std::span<const std::byte> bytes;
  std::string file;  // for messages

  std::int64_t elements() const {
    std::int64_t n = 1;
    for (const auto d : shape) n *= d;
    return n;
  }
  /// "file: tensor name" for messages.
  std::string where() const { return file + ": tensor " + name; }
};

class TensorFile {
 public:
  /// Order of the file(s); shards follow one another in the order of their names.
  const std::vector<StoredTensor>& tensors() const { return tensors_; }
  const StoredTensor* find(const std::string& name) const;
  /// The tensor, or Error{bad_input} "file: tensor 'name' is missing".
  const StoredTensor& get(const std::string& name) const;
  /// Key-value metadata of the container: GGUF's (arrays become JSON arrays) or safetensors' __metadata__.
  const Json& metadata() const { return metadata_; }
  const std::filesystem::path& path() const { return path_; }
  /// The files the tensors are in.
  std::vector<std::filesystem::path> files() const;
  /// Gives the pages of a tensor back to the system until they are read again.
  void release(const StoredTensor& tensor) const;

 protected:
  friend TensorFile open_safetensors(const std::filesystem::path&);
  friend TensorFile open_gguf(const std::filesystem::path&);
  std::filesystem::path path_;
  std::vector<std::shared_ptr<MappedFile>> files_;
  std::vector<StoredTensor> tensors_;
  std::map<std::string, std::size_t> index_;
  Json metadata_;
};

/// Opens one .safetensors file, or a folder with model.safetensors or model.safetensors.index.json (+ shards).
/// The header is checked field by field as hostile input: length within the file (and at most 100 MB), known dtype,
/// offsets inside the data, no overlap, no gap, bytes = product(shape) x element size without overflow, no duplicate
/// name; with an index: every listed shard and tensor present, and no tensor in two shards. Error{bad_input, io}.
TensorFile open_safetensors(const std::filesystem::path& path);

/// Opens a GGUF v3 (or v2) file. Metadata arrays and strings checked against the file's size before memory is spent.
/// Tensor types other than F32, F16, BF16, Q4_0, Q4_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS (and plain integers):
/// Error{unsupported} naming tensor and type.
TensorFile open_gguf(const std::filesystem::path& path);

/// A tensor to be written: bytes are row-major little-endian, exactly dtype x shape long.
struct TensorToWrite {
  std::string name;
  DType dtype;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

/// Writes a .safetensors file atomically: header padded so that the data starts 64-byte aligned, tensors in the given
/// order without gaps. Element types with a block size other than 1 are refused (store them as U8). `metadata` maps
/// strings to strings. Throws Error{io}; Error{bad_input} for a size that does not fit or a name given twice.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace nearplane
