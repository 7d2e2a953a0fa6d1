// The "pattern" of a tokenizer.json part, {"String": "..."} or {"Regex": "..."}: find and replace.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "tokenizer/regex.h"

namespace nearplane {

class Pattern {
 public:
  /// Reads part["pattern"].
  Pattern(const Json& part, const std::string& where);

  /// All matches from left to right, without overlap, appended to `out`.
  void find_all(std::string_view text, std::vector<Match>& out) const;
  std::string replace_all(std::string_view text, std::string_view content) const;

 private:
  std::string literal_;           // used where there is no
  std::unique_ptr<Regex> regex_;  // regular expression
};

}  // namespace nearplane
