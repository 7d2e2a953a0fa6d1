// Unicode properties and transformations as the reference tokenizer has them. Its parts know different versions of
// Unicode; where those differ from utf8proc's and PCRE2's, unicode_tables.h says how.
#pragma once

#include <string>
#include <string_view>

namespace nearplane {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// All texts are valid UTF-8.
std::string normalize_text(std::string_view text, NormalForm form);
/// Every code point by itself (no rule about final sigma).
std::string lower_text(std::string_view text);
/// Without the combining marks (Mn, Mc, Me). Composed letters stay: apply NFD before.
std::string strip_marks(std::string_view text);

bool is_numeric(char32_t c);
bool is_white_space(char32_t c);

/// True if `text` has code points that the regular expression engine here does not know but the reference's does;
/// then `out` is the text with each replaced by one of the same category and the same number of bytes.
bool with_stand_ins(std::string_view text, std::string& out);

}  // namespace nearplane
