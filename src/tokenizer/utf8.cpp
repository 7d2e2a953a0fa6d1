#include "tokenizer/utf8.h"

#include <algorithm>

namespace nearplane {
namespace {

struct Lead {
  std::size_t length;                     // bytes of the whole sequence, 0 = cannot start one
  unsigned char second_low, second_high;  // the second byte alone decides on overlong forms, surrogates, > U+10FFFF
};

Lead lead_of(unsigned char c) {
  if (c < 0x80) return {1, 0, 0};
  if (c < 0xc2) return {0, 0, 0};
  if (c < 0xe0) return {2, 0x80, 0xbf};
  if (c < 0xf0)
    return {3, static_cast<unsigned char>(c == 0xe0 ? 0xa0 : 0x80),
            static_cast<unsigned char>(c == 0xed ? 0x9f : 0xbf)};
  if (c < 0xf5)
    return {4, static_cast<unsigned char>(c == 0xf0 ? 0x90 : 0x80),
            static_cast<unsigned char>(c == 0xf4 ? 0x8f : 0xbf)};
  return {0, 0, 0};
}

// Bytes of `text` (not empty) that form a code point or the longest start of one; valid says which.
std::size_t take(std::string_view text, bool& valid) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const Lead lead = lead_of(byte(0));
  valid = lead.length == 1;
  if (lead.length <= 1) return 1;
  std::size_t n = 1;
  while (n < lead.length && n < text.size() && byte(n) >= (n == 1 ? lead.second_low : 0x80) &&
         byte(n) <= (n == 1 ? lead.second_high : 0xbf))
    ++n;
  valid = n == lead.length;
  return n;
}

}  // namespace

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | c >> 6), put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | c >> 12), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | c >> 18), put(0x80 | (c >> 12 & 0x3f)), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
  }
}

std::size_t find_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    bool valid;
    const std::size_t n = take(text.substr(at), valid);
    if (!valid) return at;
    at += n;
  }
  return std::string_view::npos;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    bool valid;
    const std::size_t n = take(text, valid);
    out.append(valid ? text.substr(0, n) : std::string_view("\xef\xbf\xbd"));
    text.remove_prefix(n);
  }
  return out;
}

}  // namespace nearplane
