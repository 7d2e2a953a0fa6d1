// UTF-8: code points of valid text, and valid text out of any bytes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace nearplane {

/// The code point at byte `at` of valid UTF-8; moves `at` behind it. at < text.size().
inline char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t k) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + k])); };
  const char32_t c = byte(0);
  if (c < 0x80) return at += 1, c;
  char32_t out;
  if (c < 0xe0) return out = (c & 0x1f) << 6 | (byte(1) & 0x3f), at += 2, out;
  if (c < 0xf0) return out = (c & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), at += 3, out;
  out = (c & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f);
  return at += 4, out;
}

void append_utf8(std::string& out, char32_t code_point);

/// Byte position of the first invalid part of `text`, npos if it is valid UTF-8.
std::size_t find_invalid_utf8(std::string_view text);

/// `text` with U+FFFD for each maximal invalid part (the Unicode standard's "substitution of maximal subparts", which
/// is also what Python's errors="replace" does). Valid text comes back as it is.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace nearplane
