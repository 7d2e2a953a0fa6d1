// The calls by which this program changes files, in one place, so that tests can fail any of them, tear a write or stop
// the process between two. Each does what the system call of its name does and says so in the same way: a negative
// result and errno.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace nearplane {

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  /// A file descriptor for writing; what was in the file is gone.
  virtual int create(const std::filesystem::path& path);
  virtual std::ptrdiff_t write(int fd, std::span<const std::byte> bytes);
  virtual int sync(int fd);
  /// Makes the names in `folder` durable.
  virtual int sync_folder(const std::filesystem::path& folder);
  /// A file replaces a file.
  virtual int rename(const std::filesystem::path& from, const std::filesystem::path& to);
  /// The same, but `to` must not exist.
  virtual int rename_new(const std::filesystem::path& from, const std::filesystem::path& to);
  virtual int make_folder(const std::filesystem::path& path);
  /// A file or an empty folder.
  virtual int remove(const std::filesystem::path& path);
};

/// The one in use: the system's, unless a test has put another in its place.
FileSystem& file_system();

/// For tests: `other` is in use while this lives. Not while other threads write files.
class FileSystemInPlace {
 public:
  explicit FileSystemInPlace(FileSystem& other);
  ~FileSystemInPlace();
  FileSystemInPlace(const FileSystemInPlace&) = delete;
  FileSystemInPlace& operator=(const FileSystemInPlace&) = delete;

 private:
  FileSystem* before_;
};

}  // namespace nearplane
