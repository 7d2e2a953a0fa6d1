#include "base/mapped_file.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, ShowsTheBytesOfTheFile) {
  TemporaryFolder folder;
  const auto path = folder.write("a", "some bytes");
  MappedFile file(path);
  EXPECT_EQ(text_of(file), "some bytes");
  EXPECT_EQ(file.path(), path);
  EXPECT_TRUE(MappedFile(folder.write("empty", "")).bytes().empty());
}

TEST(MappedFile, MovesWithItsMapping) {
  TemporaryFolder folder;
  MappedFile first(folder.write("a", "some bytes"));
  const MappedFile second(std::move(first));
  EXPECT_EQ(text_of(second), "some bytes");
}

TEST(MappedFile, ReadsReleasedPagesAgain) {
  TemporaryFolder folder;
  std::string text(100'000, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7);
  const MappedFile file(folder.write("a", text));
  file.release(file.bytes());
  file.release(file.bytes().subspan(10, 3));         // smaller than a page: nothing to give back
  file.release(file.bytes().subspan(5000, 50'000));  // page borders inside
  EXPECT_EQ(text_of(file), text);
}

TEST(MappedFile, RefusesWhatIsNoRegularFile) {
  TemporaryFolder folder;
  expect_error(ErrorCode::io, {"none", "No such file"}, [&] { MappedFile file(folder.path() / "none"); });
  expect_error(ErrorCode::io, {folder.path().string(), "not a regular file"}, [&] { MappedFile file(folder.path()); });
  expect_error(ErrorCode::io, {"/dev/null", "not a regular file"}, [] { MappedFile file("/dev/null"); });
}

}  // namespace
}  // namespace nearplane
