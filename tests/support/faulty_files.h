// For tests: a file system that does what it is told at one of the calls made to it: fails it, tears it and fails all
// that follow, or kills the process there.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <set>

#include "base/file_system.h"

namespace nearplane {

enum class Fault {
  none,
  refused,    // this call fails, those after it do not
  full_disk,  // a write takes half of its bytes; it and all writes and new files after it fail
  power_cut,  // the same, and no call after it has any effect; drop_unsynced() then takes what was not made durable
  kill,       // SIGKILL before the call
};

class FaultyFiles : public FileSystem {
 public:
  /// `at`: the call that is hit, from 0.
  explicit FaultyFiles(Fault fault = Fault::none, std::int64_t at = -1) : fault_(fault), at_(at) {}

  std::int64_t calls() const { return calls_; }

  int create(const std::filesystem::path& path) override {
    if (hit(true)) return -1;
    const int fd = FileSystem::create(path);
    open_[fd] = path;
    unsynced_.insert(path);
    return fd;
  }
  std::ptrdiff_t write(int fd, std::span<const std::byte> bytes) override {
    const bool first = calls_ == at_;
    if (!hit(true)) return FileSystem::write(fd, bytes);
    if (first && fault_ != Fault::refused && bytes.size() > 1)
      return FileSystem::write(fd, bytes.first(bytes.size() / 2));
    return -1;
  }
  int sync(int fd) override {
    if (hit(false)) return -1;
    unsynced_.erase(open_[fd]);
    return FileSystem::sync(fd);
  }
  int sync_folder(const std::filesystem::path& folder) override {
    if (hit(false)) return -1;
    renamed_.clear();
    return FileSystem::sync_folder(folder);
  }
  int rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    if (hit(false)) return -1;
    note_rename(from, to);
    return FileSystem::rename(from, to);
  }
  int rename_new(const std::filesystem::path& from, const std::filesystem::path& to) override {
    if (hit(false)) return -1;
    note_rename(from, to);
    return FileSystem::rename_new(from, to);
  }
  int make_folder(const std::filesystem::path& path) override { return hit(true) ? -1 : FileSystem::make_folder(path); }
  int remove(const std::filesystem::path& path) override { return hit(false) ? -1 : FileSystem::remove(path); }

  /// What a machine may have lost that stopped now: names given since their folder was synced, half of the bytes of
  /// files that were not.
  void drop_unsynced() {
    for (const auto& path : unsynced_)
      if (std::filesystem::exists(path)) std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
    for (const auto& [to, from] : renamed_) FileSystem::rename(to, from);
  }

 private:
  // Whether the call at hand fails. `grows`: it needs room on the disk.
  bool hit(bool grows) {
    const auto call = calls_++;
    if (at_ < 0 || call < at_) return false;
    if (fault_ == Fault::kill) ::kill(::getpid(), SIGKILL);
    if (fault_ == Fault::refused && call > at_) return false;
    if (fault_ == Fault::full_disk && !grows) return false;
    errno = fault_ == Fault::full_disk ? ENOSPC : EIO;
    return fault_ != Fault::none;
  }

  void note_rename(const std::filesystem::path& from, const std::filesystem::path& to) {
    renamed_[to] = from;
    if (unsynced_.erase(from) > 0) unsynced_.insert(to);
  }

  Fault fault_;
  std::int64_t at_, calls_ = 0;
  std::map<int, std::filesystem::path> open_;
  std::set<std::filesystem::path> unsynced_;
  std::map<std::filesystem::path, std::filesystem::path> renamed_;
};

}  // namespace nearplane
