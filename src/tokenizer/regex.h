// Regular expressions of tokenizer files. They are written for Oniguruma (what Hugging Face's tokenizers runs) and run
// here by PCRE2; a pattern whose meaning could differ between the two is refused, never run with another meaning.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nearplane {

struct Match {
  std::size_t begin, end;  // bytes
};

class Regex {
 public:
  /// Throws Error{unsupported} "where: ..." for a pattern that is not understood by both engines in the same way.
  Regex(const std::string& pattern, const std::string& where);
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  /// All matches from left to right, appended to `out`. `text` is valid UTF-8 and the whole subject: nothing outside is
  /// looked at. Thread-safe. Throws Error{bad_input} if the engine gives up (its limits on time and memory).
  void find_all(std::string_view text, std::vector<Match>& out) const;

 private:
  struct Code;
  std::unique_ptr<Code> code_;
  std::string where_;
};

/// The same pattern in PCRE2's language (with UTF, UCP and MULTILINE set).
std::string pcre2_pattern(std::string_view oniguruma, const std::string& where);

}  // namespace nearplane
