// One process at a time works in a folder: a file `lock` in it is locked for as long as its owner lives, however it
// ends.
#pragma once

#include <filesystem>

namespace nearplane {

class FolderLock {
 public:
  /// `folder` exists. Error{bad_input} naming the process that has the lock; Error{io}.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace nearplane
