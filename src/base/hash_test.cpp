#include "base/hash.h"

#include <gtest/gtest.h>

#include <string_view>

#include "expect_error.h"
#include "temporary_folder.h"

namespace nearplane {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Hash, IsXxh3) {
  EXPECT_EQ(hash64(bytes("")), 0x2d06800538d394c2u);
  EXPECT_EQ(hash64(bytes("abc")), 0x78af5f94892f3950u);
  EXPECT_EQ(hash64_hex(bytes("")), "2d06800538d394c2");
}

TEST(Hash, SeesEveryFlippedBit) {
  std::string text(300, 'x');
  const auto before = hash64(bytes(text));
  for (std::size_t i = 0; i < text.size(); ++i)
    for (int b = 0; b < 8; ++b) {
      text[i] = static_cast<char>(text[i] ^ (1 << b));
      EXPECT_NE(hash64(bytes(text)), before) << i;
      text[i] = static_cast<char>(text[i] ^ (1 << b));
    }
}

TEST(HashFile, IsThatOfAllItsBytes) {
  TemporaryFolder folder;
  for (const std::size_t size : {std::size_t{0}, std::size_t{5}, std::size_t{3'000'001}}) {
    std::string text(size, 'x');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 >> 3);
    EXPECT_EQ(hash_file(folder.write("file", text)), hash64_hex(std::as_bytes(std::span(text)))) << size;
  }
  expect_error(ErrorCode::io, {"none", "No such file"}, [&] { hash_file(folder.path() / "none"); });
}

}  // namespace
}  // namespace nearplane
