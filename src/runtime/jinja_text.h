// A Jinja template in one way of writing, so that expressions in it can be looked for.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nearplane {

/// Templates differ in white space, quotes, escapes, and in spelling a.b or a['b']. Here: no white space and no
/// comments, no "-" at the brackets of statements, a string literal as 'text' with real line breaks and a quote in it
/// as
/// \', literals joined by + as one, m.role and m.content as m['role'] and m['content']. Text outside of statements
/// counts as a literal on its own, {{'text'}}.
class JinjaText {
 public:
  explicit JinjaText(std::string_view jinja);
  bool has(std::string_view written) const { return text_.find(written) != text_.npos; }
  /// The text of the literal that follows the first `before` that is followed by one.
  std::optional<std::string> literal_after(std::string_view before) const;
  const std::vector<std::string>& literals() const { return literals_; }

 private:
  struct Writer;
  std::string text_;
  std::vector<std::string> literals_;  // all, in order
};

}  // namespace nearplane
