#include "base/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace nearplane {
namespace {

FileSystem system_files;
FileSystem* in_use = &system_files;

}  // namespace

int FileSystem::create(const std::filesystem::path& path) {
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

std::ptrdiff_t FileSystem::write(int fd, std::span<const std::byte> bytes) {
  return ::write(fd, bytes.data(), std::min<std::size_t>(bytes.size(), std::size_t{1} << 30));
}

int FileSystem::sync(int fd) { return ::fsync(fd); }

int FileSystem::sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fd;
  const int result = ::fsync(fd), code = errno;
  ::close(fd);
  errno = code;
  return code == EINVAL ? 0 : result;  // some file systems cannot, and need not, sync a folder
}

int FileSystem::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  return ::rename(from.c_str(), to.c_str());
}

int FileSystem::rename_new(const std::filesystem::path& from, const std::filesystem::path& to) {
  // Plain rename would silently replace an empty folder; a few file systems know only plain rename.
  const int result = ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE);
  if (result == 0 || (errno != EINVAL && errno != ENOSYS)) return result;
  if (!std::filesystem::exists(std::filesystem::symlink_status(to))) return ::rename(from.c_str(), to.c_str());
  errno = EEXIST;
  return -1;
}

int FileSystem::make_folder(const std::filesystem::path& path) { return ::mkdir(path.c_str(), 0755); }

int FileSystem::remove(const std::filesystem::path& path) { return std::remove(path.c_str()); }

FileSystem& file_system() { return *in_use; }

FileSystemInPlace::FileSystemInPlace(FileSystem& other) : before_(in_use) { in_use = &other; }
FileSystemInPlace::~FileSystemInPlace() { in_use = before_; }

}  // namespace nearplane
