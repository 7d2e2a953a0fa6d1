#include "base/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "base/check.h"

namespace nearplane {
namespace {

std::string owner(int fd) {
  std::array<char, 32> text{};
  const auto n = ::pread(fd, text.data(), text.size(), 0);
  return n > 0 ? std::string(text.data(), static_cast<std::size_t>(n)) : "unknown";
}

// The owner before may have removed the file between our opening and locking it.
bool still_there(int fd, const std::filesystem::path& path) {
  struct stat ours {
  }, named{};
  return ::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino &&
         ours.st_dev == named.st_dev;
}

}  // namespace

FolderLock::FolderLock(const std::filesystem::path& folder) : path_(folder / "lock") {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_io(path_.string(), "cannot create", errno);
  const bool locked = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
  const int code = errno;
  if (locked && still_there(fd_, path_)) {
    const auto text = std::to_string(::getpid());  // for messages; the lock holds without it
    if (::ftruncate(fd_, 0) == 0) (void)!::pwrite(fd_, text.data(), text.size(), 0);
    return;
  }
  const auto other = owner(fd_);
  ::close(fd_);
  if (!locked && code != EWOULDBLOCK) fail_io(path_.string(), "cannot lock", code);
  fail_input(folder.string(), "another run is writing here (process {}); wait for its end or choose another output",
             other);
}

FolderLock::~FolderLock() { ::close(fd_); }

}  // namespace nearplane
