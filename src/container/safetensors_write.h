// Writing a safetensors file whose data is not in memory at once: sizes first, then the bytes in order, atomically.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/atomic_file.h"
#include "tensor/dtype.h"

namespace nearplane {

/// Takes the bytes of a tensor, or the next piece of them.
using ByteSink = std::function<void(std::span<const std::byte>)>;

/// A tensor of a file to come.
struct TensorLayout {
  std::string name;
  DType dtype;
  std::vector<std::int64_t> shape;  // outermost first

  std::int64_t bytes() const;
};

class SafetensorsWriter {
 public:
  /// Writes the header: padded so that the data starts 64-byte aligned, tensors in the given order without gaps.
  /// Error{bad_input} for ggml's block types (store them as U8) and for a name given twice; Error{io}.
  SafetensorsWriter(const std::filesystem::path& path, std::span<const TensorLayout> tensors,
                    const std::map<std::string, std::string>& metadata);
  /// The next bytes of the data; a piece may be smaller than a tensor. Error{io}.
  void write(std::span<const std::byte> bytes);
  /// All bytes are written: gives the file its name. Error{io}.
  void commit();

 private:
  AtomicFile file_;
  std::int64_t missing_ = 0;  // bytes still to come
};

}  // namespace nearplane
