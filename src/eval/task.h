// Questions with choices: reading them, and cutting each choice into the tokens whose likelihood is asked for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "calib/windows.h"

namespace nearplane {

struct Question {
  std::string query;
  std::vector<std::string> choices;  // at least two, none empty
  std::size_t gold = 0;
  std::int64_t line = 0;
};

/// JSON lines {"query", "choices", "gold"}. Error{bad_input} naming file and line.
std::vector<Question> read_questions(const std::filesystem::path& path);

/// A choice after its query, as tokens: `asked` at the end of the sequence are the choice's.
struct ChoiceTokens {
  Window tokens;
  std::int64_t asked = 0;
};
/// As lm-evaluation-harness cuts them: a space joins query and choice; both together are encoded, and what lies behind
/// as many tokens as the query alone has (without the white space at its end) is the choice. Contexts longer than
/// `longest` lose tokens at their beginning. Error{bad_input} at `where` if the choice alone is longer, or nothing
/// stands before it.
ChoiceTokens cut_choice(const Tokenizer& tokenizer, const std::string& query, const std::string& choice,
                        std::int64_t longest, const std::string& where);

/// Characters (code points) of valid UTF-8: what likelihoods are divided by.
std::int64_t characters(const std::string& text);

}  // namespace nearplane
