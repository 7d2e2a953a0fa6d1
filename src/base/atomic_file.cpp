#include "base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/check.h"

namespace nearplane {
namespace {

std::filesystem::path temporary_name(const std::filesystem::path& path) {
  auto name = path;
  name += fmt::format(".partial-{}", ::getpid());
  return name;
}

void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path), temporary_(temporary_name(path)) {
  fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_io(path.string(), "cannot create", errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto n = ::write(fd_, bytes.data(), std::min<std::size_t>(bytes.size(), std::size_t{1} << 30));
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_io(path_.string(), "cannot write", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void AtomicFile::commit() {
  if (::fsync(fd_) != 0) fail_io(path_.string(), "cannot flush", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail_io(path_.string(), "cannot rename into place", errno);
  ::close(fd_);
  fd_ = -1;
  sync_folder(path_.parent_path());
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

std::string read_file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_io(path.string(), "cannot open", errno);
  std::string text;
  for (;;) {
    const auto used = text.size();
    text.resize(used + (std::size_t{1} << 20));
    const auto n = ::read(fd, text.data() + used, text.size() - used);
    const int code = errno;
    text.resize(used + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    if (n > 0 || (n < 0 && code == EINTR)) continue;
    ::close(fd);
    if (n < 0) fail_io(path.string(), "cannot read", code);
    return text;
  }
}

AtomicFolder::AtomicFolder(const std::filesystem::path& path)
    : path_(path.has_filename() ? path : path.parent_path()), temporary_(temporary_name(path_)) {
  if (std::filesystem::exists(std::filesystem::symlink_status(path_)))
    fail_input(path_.string(), "exists already; choose another output or remove it first");
  std::error_code code;
  std::filesystem::create_directories(path_.has_parent_path() ? path_.parent_path() : ".", code);
  std::filesystem::remove_all(temporary_, code);
  if (::mkdir(temporary_.c_str(), 0755) != 0) fail_io(path_.string(), "cannot create", errno);
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!committed_) std::filesystem::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  // Plain rename would silently replace an empty folder; a few file systems know only plain rename.
  int failed = ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE);
  if (failed && (errno == EINVAL || errno == ENOSYS)) {
    errno = EEXIST;
    failed = std::filesystem::exists(std::filesystem::symlink_status(path_)) ||
             ::rename(temporary_.c_str(), path_.c_str()) != 0;
  }
  if (failed) fail_io(path_.string(), "cannot rename into place", errno);
  committed_ = true;
  sync_folder(path_.parent_path());
}

}  // namespace nearplane
