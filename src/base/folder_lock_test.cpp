#include "base/folder_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "base/atomic_file.h"
#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

TEST(FolderLock, LetsOneInAtATimeAndNamesIt) {
  TemporaryFolder folder;
  std::optional<FolderLock> first(folder.path());
  EXPECT_EQ(read_file(first->path()), std::to_string(::getpid()));
  expect_error(ErrorCode::bad_input, {folder.path().string(), "another run", "process " + std::to_string(::getpid())},
               [&] { FolderLock second(folder.path()); });
  first.reset();
  FolderLock third(folder.path());
}

TEST(FolderLock, EndsWithItsProcess) {
  TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    new FolderLock(folder.path());  // never given back
    ::_exit(0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  FolderLock ours(folder.path());
  EXPECT_EQ(read_file(ours.path()), std::to_string(::getpid()));
}

TEST(FolderLock, NamesAFolderThatIsNotThere) {
  TemporaryFolder folder;
  expect_error(ErrorCode::io, {"none/lock", "No such file"}, [&] { FolderLock lock(folder.path() / "none"); });
}

}  // namespace
}  // namespace nearplane
