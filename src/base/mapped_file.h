// A whole file, read-only, in the address space: pages are read when touched and can be given back.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace nearplane {

class MappedFile {
 public:
  /// Maps `path`; throws Error{io} if it cannot be opened or is no regular file. An empty file maps to an empty span.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  /// Tells the system that the pages inside `part` (a piece of bytes()) are not needed for now.
  void release(std::span<const std::byte> part) const;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace nearplane
