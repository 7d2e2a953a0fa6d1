// Files and folders that exist whole or not at all: written beside their final name, synced, then renamed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace nearplane {

class AtomicFile {
 public:
  /// Opens a temporary file beside `path`. Throws Error{io}.
  explicit AtomicFile(const std::filesystem::path& path);
  /// Removes the temporary file unless commit() was reached.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Flushes to the disk and renames to the final name, replacing what was there. Throws Error{io}.
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int fd_ = -1;
};

/// The whole of a small file at once.
void write_file(const std::filesystem::path& path, std::string_view text);
std::string read_file(const std::filesystem::path& path);

class AtomicFolder {
 public:
  /// Creates a temporary folder beside `path`. Throws Error{bad_input} if `path` exists, Error{io} if it cannot be
  /// made.
  explicit AtomicFolder(const std::filesystem::path& path);
  /// Removes the temporary folder unless commit() was reached.
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  /// Where to write until commit().
  const std::filesystem::path& path() const { return temporary_; }
  /// Renames the folder to its final name. Throws Error{io}, also if that name has appeared meanwhile.
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  bool committed_ = false;
};

/// True for the name of a temporary file, which a process that was killed leaves behind.
bool is_temporary(const std::filesystem::path& path);
/// Error{bad_input} if something has the name `path`.
void require_absent(const std::filesystem::path& path);
/// Makes the folder, and those above it, if it is not there. Error{io}.
void make_folders(const std::filesystem::path& path);
/// Gives a folder its final name, durably. Error{io}, also if something has that name.
void rename_folder(const std::filesystem::path& from, const std::filesystem::path& to);
/// Removes a file, or a folder with all that is in it, if there is one; what cannot be removed stays.
void remove_tree(const std::filesystem::path& path);

}  // namespace nearplane
