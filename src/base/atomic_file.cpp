#include "base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "base/file_system.h"

namespace nearplane {
namespace {

constexpr const char* kTemporary = ".partial-";

std::filesystem::path temporary_name(const std::filesystem::path& path) {
  auto name = path;
  name += fmt::format("{}{}", kTemporary, ::getpid());
  return name;
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path), temporary_(temporary_name(path)) {
  fd_ = file_system().create(temporary_);
  if (fd_ < 0) fail_io(path.string(), "cannot create", errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  file_system().remove(temporary_);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto n = file_system().write(fd_, bytes);
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_io(path_.string(), "cannot write", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void AtomicFile::commit() {
  if (file_system().sync(fd_) != 0) fail_io(path_.string(), "cannot flush", errno);
  if (file_system().rename(temporary_, path_) != 0) fail_io(path_.string(), "cannot rename into place", errno);
  ::close(fd_);
  fd_ = -1;
  if (file_system().sync_folder(path_.parent_path()) != 0) fail_io(path_.string(), "cannot flush its folder", errno);
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
  require_absent(path_);
  remove_tree(temporary_);
  make_folders(temporary_);
}

AtomicFolder::~AtomicFolder() {
  if (!committed_) remove_tree(temporary_);
}

void AtomicFolder::commit() {
  rename_folder(temporary_, path_);
  committed_ = true;
}

bool is_temporary(const std::filesystem::path& path) {
  return path.filename().string().find(kTemporary) != std::string::npos;
}

void require_absent(const std::filesystem::path& path) {
  if (std::filesystem::exists(std::filesystem::symlink_status(path)))
    fail_input(path.string(), "exists already; choose another output or remove it first");
}

void make_folders(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) return;
  if (path.has_parent_path()) make_folders(path.parent_path());
  const bool made = file_system().make_folder(path) == 0;
  if (!made && errno == EEXIST && std::filesystem::is_directory(path)) return;  // by another process, just now
  if (!made || file_system().sync_folder(path.parent_path()) != 0) fail_io(path.string(), "cannot create", errno);
}

void rename_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (file_system().rename_new(from, to) != 0 || file_system().sync_folder(to.parent_path()) != 0)
    fail_io(to.string(), "cannot rename into place", errno);
}

void remove_tree(const std::filesystem::path& path) {
  std::error_code failed;
  if (std::filesystem::is_directory(std::filesystem::symlink_status(path, failed)))
    for (auto entry = std::filesystem::directory_iterator(path, failed); !failed && entry != end(entry);
         entry.increment(failed))
      remove_tree(entry->path());
  file_system().remove(path);
}

}  // namespace nearplane
