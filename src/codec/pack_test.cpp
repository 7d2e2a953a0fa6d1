#include "codec/pack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/rng.h"
#include "every_target.h"

namespace nearplane {
namespace {

using Codes = std::vector<std::uint8_t>;

std::vector<std::byte> packed(const Codes& codes, int bits) {
  std::vector<std::byte> out(static_cast<std::size_t>(packed_row_bytes(std::ssize(codes), bits)), std::byte{0xaa});
  pack_row(codes, bits, out.data());
  return out;
}

Codes random_codes(std::size_t count, int bits, Rng& rng) {
  Codes codes(count);
  for (auto& c : codes) c = static_cast<std::uint8_t>(rng.below(1u << bits));
  return codes;
}

// One bit at a time, as the definition says.
std::vector<std::byte> plainly_packed(const Codes& codes, int bits) {
  std::vector<std::byte> out(static_cast<std::size_t>(packed_row_bytes(std::ssize(codes), bits)));
  for (std::size_t k = 0; k < codes.size(); ++k)
    for (int b = 0; b < bits; ++b) {
      const auto at = k * static_cast<std::size_t>(bits) + static_cast<std::size_t>(b);
      out[at / 8] |= static_cast<std::byte>((codes[k] >> b & 1) << (at % 8));
    }
  return out;
}

// 32-bit little-endian words of the codes i mod 2^bits, i = 0..31, as GPTQ and compressed-tensors files hold them.
TEST(Pack, GivesTheKnownWords) {
  const std::vector<std::pair<int, std::vector<std::uint32_t>>> known = {
      {2, {0xE4E4E4E4, 0xE4E4E4E4}},
      {3, {0x88FAC688, 0xC688FAC6, 0xFAC688FA}},
      {4, {0x76543210, 0xFEDCBA98, 0x76543210, 0xFEDCBA98}},
      {5, {0x8A418820, 0xC5A92839, 0xCA307B9A, 0x38BDAB49, 0xFFBBCDEB}},
      {6, {0x440C2040, 0xA2481C61, 0x3CE34C2C, 0x544D2450, 0xA6585D65, 0x7DE75C6D}},
      {7, {0x40608080, 0x880E1828, 0x68C16284, 0x88901E38, 0x58A94264, 0x668C982E, 0x3E78E9C3}},
      {8, {0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0D0C, 0x13121110, 0x17161514, 0x1B1A1918, 0x1F1E1D1C}},
  };
  for_every_target([&] {
    for (const auto& [bits, words] : known) {
      Codes codes(32);
      for (std::size_t i = 0; i < 32; ++i) codes[i] = static_cast<std::uint8_t>(i & ((1u << bits) - 1));
      const auto bytes = packed(codes, bits);
      ASSERT_EQ(bytes.size(), 4 * words.size());
      EXPECT_EQ(std::memcmp(bytes.data(), words.data(), bytes.size()), 0) << bits << " bits";
    }
  });
}

TEST(Pack, EqualsThePlainLoopAndComesBack) {
  for_every_target([] {
    Rng rng(1);
    for (int bits = 1; bits <= 8; ++bits)
      for (std::size_t count = 0; count < 130; ++count) {
        const auto codes = random_codes(count, bits, rng);
        const auto bytes = packed(codes, bits);
        ASSERT_EQ(bytes, plainly_packed(codes, bits)) << bits << " bits, " << count << " codes";
        Codes back(count, 0xee);
        unpack_row(bytes.data(), bits, back);
        ASSERT_EQ(back, codes) << bits << " bits, " << count << " codes";
      }
  });
}

// Under the address sanitizer a read past the exact size of the row would be reported.
TEST(Pack, TouchesExactlyTheRow) {
  for_every_target([] {
    Rng rng(2);
    for (int bits = 1; bits <= 8; ++bits)
      for (const std::size_t count : {1, 7, 8, 9, 63, 64, 65}) {
        const auto codes = random_codes(count, bits, rng);
        const auto size = static_cast<std::size_t>(packed_row_bytes(static_cast<std::int64_t>(count), bits));
        std::vector<std::byte> row(size + 8, std::byte{0x5c});
        pack_row(codes, bits, row.data());
        EXPECT_TRUE(std::all_of(row.begin() + static_cast<std::ptrdiff_t>(size), row.end(),
                                [](std::byte b) { return b == std::byte{0x5c}; }));
        const std::vector<std::byte> exact(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(size));
        Codes back(count + 8, 0xee);
        unpack_row(exact.data(), bits, {back.data(), count});
        EXPECT_TRUE(std::equal(codes.begin(), codes.end(), back.begin()));
        EXPECT_TRUE(std::all_of(back.begin() + static_cast<std::ptrdiff_t>(count), back.end(),
                                [](std::uint8_t c) { return c == 0xee; }));
      }
  });
}

TEST(Pack, CountsBytesOfARow) {
  EXPECT_EQ(packed_row_bytes(0, 3), 0);
  EXPECT_EQ(packed_row_bytes(1, 3), 1);
  EXPECT_EQ(packed_row_bytes(8, 3), 3);
  EXPECT_EQ(packed_row_bytes(576, 3), 216);
}

}  // namespace
}  // namespace nearplane
