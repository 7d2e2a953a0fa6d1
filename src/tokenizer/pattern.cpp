#include "tokenizer/pattern.h"

#include "base/check.h"

namespace nearplane {

Pattern::Pattern(const Json& part, const std::string& where) {
  const auto it = part.find("pattern");
  if (it == part.end() || !it->is_object() || it->size() != 1) fail_input(where, "key 'pattern' is not a pattern");
  if (const auto literal = json_find<std::string>(*it, "String", where)) {
    literal_ = *literal;
    if (literal_.empty()) fail_unsupported(where, "an empty pattern is not supported");
  } else {
    regex_ = std::make_unique<Regex>(json_get<std::string>(*it, "Regex", where), where);
  }
}

void Pattern::find_all(std::string_view text, std::vector<Match>& out) const {
  if (text.empty()) return;
  if (regex_) return regex_->find_all(text, out);
  for (auto at = text.find(literal_); at != std::string_view::npos; at = text.find(literal_, at + literal_.size()))
    out.push_back({at, at + literal_.size()});
}

std::string Pattern::replace_all(std::string_view text, std::string_view content) const {
  std::vector<Match> matches;
  find_all(text, matches);
  std::string out;
  std::size_t at = 0;
  for (const auto& match : matches) {
    out.append(text.substr(at, match.begin - at)).append(content);
    at = match.end;
  }
  return out.append(text.substr(at));
}

}  // namespace nearplane
