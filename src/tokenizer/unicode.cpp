#include "tokenizer/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <bitset>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <new>

#include "tokenizer/unicode_tables.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

using unicode_tables::Range;

template <std::size_t N>
const Range* find_range(const Range (&table)[N], char32_t c) {
  const auto* it = std::upper_bound(std::begin(table), std::end(table), c,
                                    [](char32_t value, const Range& range) { return value < range.first; });
  return it != std::begin(table) && c <= std::prev(it)->last ? std::prev(it) : nullptr;
}

// A set of blocks of 256 code points: most text has none of the characters of a table.
template <std::size_t N>
std::bitset<0x1100> blocks_of(const Range (&table)[N]) {
  std::bitset<0x1100> blocks;
  for (const auto& range : table)
    for (char32_t block = range.first >> 8; block <= range.last >> 8; ++block) blocks.set(block);
  return blocks;
}

const Range* find_stand_in(char32_t c) {
  static const auto blocks = blocks_of(unicode_tables::kStandIns);
  return blocks[c >> 8] ? find_range(unicode_tables::kStandIns, c) : nullptr;
}

// The normalizer of the reference leaves such a code point alone, and it stops everything that reorders or composes.
bool is_unnormalized(char32_t c) {
  static const auto blocks = blocks_of(unicode_tables::kUnnormalized);
  if (c == 0x180e) return false;
  return find_stand_in(c) != nullptr || (blocks[c >> 8] && find_range(unicode_tables::kUnnormalized, c) != nullptr);
}

void append_normalized(std::string& out, std::string_view text, int options) {
  if (text.empty()) return;
  utf8proc_uint8_t* result = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &result, static_cast<utf8proc_option_t>(options | UTF8PROC_STABLE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(result, &std::free);
  if (size < 0) throw std::bad_alloc();  // valid UTF-8 has no other failure
  out.append(reinterpret_cast<const char*>(result), static_cast<std::size_t>(size));
}

int options_of(NormalForm form) {
  switch (form) {
    case NormalForm::nfc:
      return UTF8PROC_COMPOSE;
    case NormalForm::nfd:
      return UTF8PROC_DECOMPOSE;
    case NormalForm::nfkc:
      return UTF8PROC_COMPOSE | UTF8PROC_COMPAT;
    case NormalForm::nfkd:
      return UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT;
  }
  return 0;
}

bool is_mark(char32_t c) {
  if (c < 0x300 || is_unnormalized(c)) return false;
  if (c == 0x1cf2 || c == 0x1cf3) return true;  // letters since Unicode 12, marks for the reference
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC || category == UTF8PROC_CATEGORY_ME;
}

}  // namespace

std::string normalize_text(std::string_view text, NormalForm form) {
  // No code point below U+0300 (lead byte below 0xcc) is changed by NFC, none below U+0080 by any form.
  const unsigned char inert = form == NormalForm::nfc ? 0xcc : 0x80;
  if (std::all_of(text.begin(), text.end(), [&](char c) { return static_cast<unsigned char>(c) < inert; }))
    return std::string(text);
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  std::size_t from = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    if (!is_unnormalized(next_code_point(text, at))) continue;
    append_normalized(out, text.substr(from, start - from), options_of(form));
    out.append(text.substr(start, at - start));
    from = at;
  }
  append_normalized(out, text.substr(from), options_of(form));
  return out;
}

std::string lower_text(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    if (c == 0x130) {
      out += "i\xcc\x87";  // the one character whose lower case has two
    } else if (const auto* range = find_range(unicode_tables::kLower, c)) {
      append_utf8(out, static_cast<char32_t>(static_cast<std::int32_t>(c) + range->value));
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
  }
  return out;
}

std::string strip_marks(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    if (!is_mark(next_code_point(text, at))) out.append(text.substr(start, at - start));
  }
  return out;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  return find_range(unicode_tables::kNumeric, c) != nullptr;
}

bool is_white_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool with_stand_ins(std::string_view text, std::string& out) {
  bool found = false;
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0xe0) {  // below U+0800 all versions agree
      ++at;
      continue;
    }
    const std::size_t start = at;
    const auto* range = find_stand_in(next_code_point(text, at));
    if (range == nullptr) continue;
    if (!found) out.assign(text);
    found = true;
    std::string stand_in;
    append_utf8(stand_in, static_cast<char32_t>(range->value));
    out.replace(start, at - start, stand_in);
  }
  return found;
}

}  // namespace nearplane
