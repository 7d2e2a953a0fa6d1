#include "runtime/jinja_text.h"

#include <algorithm>
#include <utility>

namespace nearplane {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

bool is_space(char c) { return kSpace.find(c) != kSpace.npos; }
bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

// Takes the literal whose opening quote is text[at]; moves `at` behind its closing one.
std::string take_literal(std::string_view text, std::size_t& at) {
  const char quote = text[at++];
  std::string out;
  for (; at < text.size() && text[at] != quote; ++at) {
    if (text[at] != '\\' || at + 1 == text.size()) {
      out += text[at];
      continue;
    }
    const char c = text[++at];
    if (c == 'n' || c == 't' || c == 'r')
      out += c == 'n' ? '\n' : c == 't' ? '\t' : '\r';
    else if (c == '\\' || c == '\'' || c == '"')
      out += c;
    else
      out += '\\', out += c;
  }
  ++at;
  return out;
}

// A statement of the template: {{ }}, {% %} or {# #}. Start and end of the template count as statements that are empty.
struct Statement {
  char kind = 'x';  // '{', '%', '#'
  bool trims_before = false, trims_after = false;
  std::string_view inner;
  std::size_t begin = 0, end = 0;  // in the template
};

// Where the statement that begins at `begin` ends: at its bracket, which may also stand inside a literal.
std::size_t end_of(std::string_view jinja, std::size_t begin, char kind) {
  const std::string close{kind == '{' ? '}' : kind, '}'};
  for (std::size_t at = begin + 2; at < jinja.size();) {
    if (jinja.substr(at).starts_with(close)) return at;
    if (kind != '#' && (jinja[at] == '\'' || jinja[at] == '"'))
      take_literal(jinja, at);
    else
      ++at;
  }
  return jinja.size();
}

std::vector<Statement> statements_of(std::string_view jinja) {
  std::vector<Statement> out;
  for (std::size_t at = jinja.find('{'); at < jinja.size(); at = jinja.find('{', at)) {
    const char kind = at + 1 < jinja.size() ? jinja[at + 1] : ' ';
    if (kind != '{' && kind != '%' && kind != '#') {
      ++at;
      continue;
    }
    const auto close = end_of(jinja, at, kind);
    Statement s{kind, false, false, jinja.substr(at + 2, close - at - 2), at, std::min(close + 2, jinja.size())};
    if (s.inner.starts_with('-') || s.inner.starts_with('+')) {
      s.trims_before = s.inner.front() == '-';
      s.inner.remove_prefix(1);
    }
    if (s.inner.ends_with('-') || s.inner.ends_with('+')) {
      s.trims_after = s.inner.back() == '-';
      s.inner.remove_suffix(1);
    }
    out.push_back(s);
    at = s.end;
  }
  return out;
}

// What Hugging Face's settings leave of the text between two statements: trim_blocks takes the line break behind a
// block, lstrip_blocks the spaces before one at the start of a line.
std::string_view left_between(std::string_view text, const Statement& before, const Statement& after) {
  const auto is_block = [](const Statement& s) { return s.kind == '%' || s.kind == '#'; };
  bool at_line_start = before.kind == 'x';
  if (before.trims_after) {
    text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  } else if (is_block(before) && text.starts_with('\n')) {
    text.remove_prefix(1);
    at_line_start = true;
  }
  const std::string_view taken = after.trims_before ? kSpace : " \t";
  const std::size_t kept = text.find_last_not_of(taken) + 1;  // 0 where there is nothing else
  if (kept > 0) at_line_start = text[kept - 1] == '\n';
  return after.trims_before || (is_block(after) && at_line_start) ? text.substr(0, kept) : text;
}

}  // namespace

// Writes the template anew, in its one way.
struct JinjaText::Writer {
  JinjaText& out;

  void literal(const std::string& text) {
    auto& all = out.text_;
    if (all.ends_with("'+")) {
      all.resize(all.size() - 2);
      out.literals_.back() += text;
    } else {
      all += '\'';
      out.literals_.push_back(text);
    }
    for (const char c : text) {
      if (c == '\'') all += '\\';
      all += c;
    }
    all += '\'';
  }
  // Output right behind output is one output.
  void open_output() {
    auto& all = out.text_;
    if (all.ends_with("}}"))
      all.replace(all.size() - 2, 2, "+");
    else
      all += "{{";
  }
  void expression(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      if (is_space(text[at])) {
        ++at;
      } else if (text[at] == '\'' || text[at] == '"') {
        literal(take_literal(text, at));
      } else if (is_name(text[at]) || text[at] == '.') {
        const auto begin = at;
        while (++at < text.size() && is_name(text[at])) continue;
        const auto word = text.substr(begin, at - begin);
        if (word == ".role" || word == ".content")
          out.text_ += "['" + std::string(word.substr(1)) + "']";
        else
          out.text_ += word;
      } else {
        out.text_ += text[at] == '~' ? '+' : text[at];
        ++at;
      }
    }
  }
  void outside(std::string_view text) {
    if (text.empty()) return;
    open_output();
    literal(std::string(text));
    out.text_ += "}}";
  }
  void statement(const Statement& s) {
    if (s.kind == '{') {
      open_output();
      expression(s.inner);
      out.text_ += "}}";
    } else if (s.kind == '%') {
      out.text_ += "{%";
      expression(s.inner);
      out.text_ += "%}";
    }
  }
};

JinjaText::JinjaText(std::string_view jinja) {
  if (jinja.ends_with('\n')) jinja.remove_suffix(1);
  Writer writer{*this};
  auto statements = statements_of(jinja);
  Statement last;
  last.begin = last.end = jinja.size();
  statements.push_back(last);
  Statement before;
  for (const auto& s : statements) {
    writer.outside(left_between(jinja.substr(before.end, s.begin - before.end), before, s));
    writer.statement(s);
    before = s;
  }
}

std::optional<std::string> JinjaText::literal_after(std::string_view before) const {
  const auto at = text_.find(std::string(before) + '\'');
  if (at == text_.npos) return std::nullopt;
  auto begin = at + before.size();
  return take_literal(text_, begin);
}

}  // namespace nearplane
