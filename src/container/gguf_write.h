// Writing a GGUF version 3 file whose data is not in memory at once: metadata and sizes first, then the bytes of the
// tensors in order, atomically.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/atomic_file.h"
#include "container/ggml_types.h"
#include "container/safetensors_write.h"

namespace nearplane {

/// Key-value metadata in the order they are added. A key may be added once.
class GgufMetadata {
 public:
  void u32(std::string_view key, std::uint32_t value);
  void f32(std::string_view key, float value);
  void boolean(std::string_view key, bool value);
  void string(std::string_view key, std::string_view value);
  void strings(std::string_view key, std::span<const std::string> values);
  void i32s(std::string_view key, std::span<const std::int32_t> values);

 private:
  friend class GgufWriter;
  void add(std::string_view key, GgufType type);
  void add_array(std::string_view key, GgufType type, std::size_t count);

  std::string bytes_;
  std::set<std::string, std::less<>> keys_;
};

class GgufWriter {
 public:
  /// Writes everything before the data. Error{bad_input} for a type without a ggml number, a name that is too long for
  /// readers or given twice, rows that are not whole blocks; Error{io}.
  GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata, std::span<const TensorLayout> tensors);
  /// The next bytes of the data; a piece may be smaller than a tensor, not reach into the next. Error{io}.
  void write(std::span<const std::byte> bytes);
  /// All bytes are written: gives the file its name. Error{io}.
  void commit();

 private:
  void begin_tensor();

  AtomicFile file_;
  std::vector<std::int64_t> sizes_;  // bytes of each tensor
  std::size_t tensor_ = 0;           // the one being written
  std::int64_t missing_ = 0;         // bytes it still needs
};

}  // namespace nearplane
