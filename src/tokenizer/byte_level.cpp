#include "tokenizer/byte_level.h"

#include <array>

#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

constexpr char32_t kEnd = 0x144;  // one past the last character of the alphabet

struct Alphabet {
  std::array<std::string, 256> text;
  std::array<int, kEnd> byte;

  Alphabet() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (char32_t b = 0; b < 256; ++b) {
      const bool itself = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
      const char32_t c = itself ? b : next++;
      append_utf8(text[b], c);
      byte[c] = static_cast<int>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

std::string to_byte_level(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 2);
  for (const char c : bytes) out += alphabet().text[static_cast<unsigned char>(c)];
  return out;
}

bool append_from_byte_level(std::string_view text, std::string& out) {
  const std::size_t before = out.size();
  const auto fail = [&] { return out.resize(before), false; };
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    // The alphabet has one and two byte characters only; anything else may be no UTF-8 at all.
    if (lead >= 0x80 && ((lead & 0xe0) != 0xc0 || at + 1 >= text.size())) return fail();
    const char32_t c = next_code_point(text, at);
    const int byte = c < kEnd ? alphabet().byte[c] : -1;
    if (byte < 0) return fail();
    out.push_back(static_cast<char>(byte));
  }
  return true;
}

}  // namespace nearplane
