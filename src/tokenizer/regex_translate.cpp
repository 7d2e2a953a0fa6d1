// From Oniguruma's pattern language to PCRE2's. Most of it is the same; what is not is rewritten or refused:
//   \w          Alphabetic, M, Nd, Pc there (outside of classes a few Latin-1 numbers too); letters, digits and _ here
//   \h          a hexadecimal digit there; horizontal space here
//   \p{Script}  the script property there; script extensions here
//   [a&&b], [a[b]], X{n,m}+, X{n,m}?, X{,n}, (?m:, (?i) that goes on past an alternative, \b, \R, \X, \K, (?<name>:
//   refused
#include <algorithm>
#include <array>
#include <cctype>

#include "base/check.h"
#include "tokenizer/regex.h"

namespace nearplane {
namespace {

constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kWordOutsideClass = R"(\x{b2}\x{b3}\x{b9}\x{bc}-\x{be})";

// Marks that changed between Mn and Mc are refused by name; M is the same in both.
// Scripts that are the same set of characters (those with stand-ins, see unicode.h) in both engines. Others have grown
// since the tables of PCRE2 were made.
constexpr std::array<std::string_view, 21> kScripts = {
    "Armenian",  "Bengali", "Bopomofo", "Ethiopic", "Georgian", "Greek",    "Gujarati",
    "Gurmukhi",  "Han",     "Hangul",   "Hebrew",   "Hiragana", "Katakana", "Khmer",
    "Malayalam", "Oriya",   "Sinhala",  "Tamil",    "Telugu",   "Thai",     "Tibetan"};

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        escape();
      } else if (c == '[') {
        in_class_ ? refuse("a class inside a class") : open_class();
      } else if (c == ']' && in_class_) {
        in_class_ = false;
        copy(1);
      } else if (c == '&' && in_class_ && next_is("&&")) {
        refuse("an intersection of classes");
      } else if (c == '(' && !in_class_ && next_is("(?")) {
        group();
      } else if (c == '}' && !in_class_ && (next_is("}+") || next_is("}?"))) {
        refuse("{n,m} and + or ?");
      } else if (c == '{' && !in_class_ && next_is("{,")) {
        refuse("{,n}");
      } else {
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    fail_unsupported(where_, "regular expression '{}': {} at byte {} is not supported", in_, what, at_);
  }
  bool next_is(std::string_view text) const { return in_.substr(at_).starts_with(text); }
  void copy(std::size_t n) {
    out_ += in_.substr(at_, n);
    at_ += n;
  }
  void replace(std::size_t n, std::string_view text) {
    out_ += text;
    at_ += n;
  }

  void open_class() {
    in_class_ = true;
    copy(1);
    if (at_ < in_.size() && in_[at_] == '^') copy(1);
    if (at_ < in_.size() && in_[at_] == ']') refuse("']' at the start of a class");
  }

  void group() {
    for (const std::string_view known : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:"})
      if (next_is(known)) return copy(known.size());
    refuse("this kind of group");
  }

  void escape() {
    if (at_ + 1 >= in_.size()) refuse("a backslash at the end");
    const char c = in_[at_ + 1];
    if (c == 'w' || c == 'W') {
      if (in_class_ && c == 'W') refuse("\\W in a class");
      if (in_class_) return replace(2, kWord);
      return replace(2, fmt::format("[{}{}{}]", c == 'W' ? "^" : "", kWord, kWordOutsideClass));
    }
    if (c == 'h') return replace(2, in_class_ ? "0-9a-fA-F" : "[0-9a-fA-F]");
    if (c == 'p' || c == 'P') return property();
    if (c == 'x') return hexadecimal();
    const bool same =
        !std::isalnum(static_cast<unsigned char>(c)) || std::string_view("sSdDrntfv").find(c) != std::string_view::npos;
    if (!same) refuse(fmt::format("\\{}", c));
    if (c == 'v') return replace(2, "\\x{0b}");  // one character there, all vertical space here
    copy(static_cast<unsigned char>(c) < 0x80 ? 2 : 1);
  }

  void property() {
    const auto close = in_.find('}', at_);
    if (at_ + 2 >= in_.size() || in_[at_ + 2] != '{' || close == std::string_view::npos) refuse("\\p without a name");
    auto name = in_.substr(at_ + 3, close - at_ - 3);
    bool negated = in_[at_ + 1] == 'P';
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    if (name.empty() ||
        !std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalpha(c) || c == '_'; }))
      refuse("this property");
    const bool category = name.size() <= 2 && std::string_view("CLMNPSZ").find(name[0]) != std::string_view::npos;
    const bool script = std::find(kScripts.begin(), kScripts.end(), name) != kScripts.end();
    if ((!category && !script && name != "Alphabetic") || name == "Mn" || name == "Mc") refuse("this property");
    replace(close + 1 - at_, fmt::format("\\{}{{{}{}}}", negated ? 'P' : 'p', script ? "sc:" : "", name));
  }

  // Two digits are a byte there, also where a byte is no character.
  void hexadecimal() {
    if (next_is("\\x{")) {
      const auto close = in_.find('}', at_);
      if (close == std::string_view::npos) refuse("\\x");
      return copy(close + 1 - at_);
    }
    const auto digits = in_.substr(at_ + 2, 2);
    if (digits.size() != 2 || digits[0] > '7' ||
        !std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isxdigit(c) != 0; }))
      refuse("this kind of \\x");
    copy(4);
  }

  std::string_view in_;
  const std::string& where_;
  std::size_t at_ = 0;
  bool in_class_ = false;
  std::string out_;
};

}  // namespace

std::string pcre2_pattern(std::string_view oniguruma, const std::string& where) {
  return Translator(oniguruma, where).run();
}

}  // namespace nearplane
