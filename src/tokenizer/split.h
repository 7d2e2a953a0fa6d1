// Cutting pieces at the matches of a pattern, in the six ways that tokenizer.json knows.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/regex.h"

namespace nearplane {

/// What becomes of a match ("-" in "a-b--c"): gone (a b c), a piece of its own (a - b - - c), joined to neighbours that
/// are matches too (a - b -- c), the end of the piece before (a- b- - c), the start of the piece after (a -b - -c).
enum class Behavior { removed, isolated, contiguous, merged_with_previous, merged_with_next };

/// "Removed", "Isolated", ...; Error{unsupported} otherwise.
Behavior parse_behavior(const std::string& name, const std::string& where);

/// Appends the matches in a text, from left to right, without overlap.
using FindAll = std::function<void(std::string_view text, std::vector<Match>& out)>;

/// Cuts every piece at the matches in it; with `invert`, what lies between matches counts as the match.
void split_pieces(PieceList& list, Behavior behavior, bool invert, const FindAll& find_all);

}  // namespace nearplane
