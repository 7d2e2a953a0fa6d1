// The byte-level alphabet of GPT-2: each of the 256 bytes as one printable character, so that a vocabulary of texts can
// hold any bytes. Printable Latin-1 bytes stand for themselves, the others for U+0100, U+0101, ... in order.
#pragma once

#include <string>
#include <string_view>

namespace nearplane {

/// Each byte of `bytes` as its character (UTF-8, one or two bytes each).
std::string to_byte_level(std::string_view bytes);
/// The bytes of a text in the alphabet, appended to `out`; false (and nothing appended) if a character is not in it.
bool append_from_byte_level(std::string_view text, std::string& out);

}  // namespace nearplane
