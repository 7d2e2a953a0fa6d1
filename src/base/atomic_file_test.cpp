#include "base/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <iterator>
#include <vector>

#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

namespace fs = std::filesystem;

std::ptrdiff_t entries(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

// A disk that is full after `bytes`: the kernel refuses to let any file grow beyond the limit.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST(AtomicFile, AppearsWithCommitOnly) {
  TemporaryFolder folder;
  const auto path = folder.path() / "a.bin";
  {
    AtomicFile file(path);
    file.write("first ");
    file.write("second");
    EXPECT_FALSE(fs::exists(path));
    file.commit();
  }
  EXPECT_EQ(read_file(path), "first second");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(AtomicFile, LeavesTheOldFileAndNothingElseWhenAbandoned) {
  TemporaryFolder folder;
  const auto path = folder.write("a.bin", "old");
  { AtomicFile(path).write("new"); }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(entries(folder.path()), 1);
  write_file(path, "new");
  EXPECT_EQ(read_file(path), "new");
}

TEST(AtomicFile, FailsWholeWhenTheDiskIsFull) {
  TemporaryFolder folder;
  const std::vector<std::byte> data(1 << 16);
  expect_error(ErrorCode::io, {"full.bin", "cannot write"}, [&] {
    const FileSizeLimit limit(10'000);
    AtomicFile file(folder.path() / "full.bin");
    file.write(data);
    file.commit();
  });
  EXPECT_EQ(entries(folder.path()), 0);
}

TEST(AtomicFile, NamesThePlaceItCannotWriteTo) {
  TemporaryFolder folder;
  expect_error(ErrorCode::io, {"none/a.bin", "No such file"},
               [&] { write_file(folder.path() / "none" / "a.bin", "x"); });
  fs::create_directory(folder.path() / "taken");
  expect_error(ErrorCode::io, {"taken", "rename"}, [&] { write_file(folder.path() / "taken", "x"); });
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(ReadFile, ReturnsEveryByte) {
  TemporaryFolder folder;
  std::string text(3'000'001, 'x');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 31);
  EXPECT_EQ(read_file(folder.write("big", text)), text);
  EXPECT_EQ(read_file(folder.write("empty", "")), "");
}

TEST(ReadFile, RefusesWhatIsMissingOrAFolder) {
  TemporaryFolder folder;
  expect_error(ErrorCode::io, {"none", "No such file"}, [&] { read_file(folder.path() / "none"); });
  expect_error(ErrorCode::io, {folder.path().string(), "cannot read"}, [&] { read_file(folder.path()); });
}

TEST(AtomicFolder, AppearsWithCommitOnly) {
  TemporaryFolder folder;
  const auto path = folder.path() / "made" / "out";
  {
    AtomicFolder out(path);
    write_file(out.path() / "a", "text");
    EXPECT_FALSE(fs::exists(path));
    out.commit();
  }
  EXPECT_EQ(read_file(path / "a"), "text");
  EXPECT_EQ(entries(folder.path() / "made"), 1);
}

TEST(AtomicFolder, LeavesNothingWhenAbandoned) {
  TemporaryFolder folder;
  {
    AtomicFolder out(folder.path() / "out/");  // a trailing slash means the same folder
    write_file(out.path() / "a", "text");
  }
  EXPECT_EQ(entries(folder.path()), 0);
}

TEST(AtomicFolder, RefusesANameThatExists) {
  TemporaryFolder folder;
  folder.write("file", "x");
  fs::create_symlink("nowhere", folder.path() / "link");
  for (const auto* name : {"file", "link", "."})
    expect_error(ErrorCode::bad_input, {name, "exists already"}, [&] { AtomicFolder out(folder.path() / name); });
}

TEST(AtomicFolder, DoesNotReplaceWhatAppearedMeanwhile) {
  TemporaryFolder folder;
  const auto path = folder.path() / "out";
  expect_error(ErrorCode::io, {"out", "File exists"}, [&] {
    AtomicFolder out(path);
    fs::create_directory(path);  // empty: plain rename would replace it
    out.commit();
  });
  EXPECT_TRUE(fs::is_empty(path));
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(AtomicFolder, NamesThePlaceItCannotWriteTo) {
  TemporaryFolder folder;
  folder.write("file", "x");
  expect_error(ErrorCode::io, {"/file: cannot create"}, [&] { AtomicFolder out(folder.path() / "file" / "out"); });
}

}  // namespace
}  // namespace nearplane
