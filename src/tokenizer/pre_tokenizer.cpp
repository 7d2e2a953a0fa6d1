#include "tokenizer/pre_tokenizer.h"

#include <string_view>
#include <utility>

#include "base/check.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pattern.h"
#include "tokenizer/split.h"
#include "tokenizer/unicode.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

// Replaces every piece by change(piece), which returns its new text. All pieces keep their order and flags.
template <class F>
void rewrite(PieceList& list, const F& change) {
  std::string text;
  text.reserve(list.text.size() + list.text.size() / 4);
  for (auto& piece : list.pieces) {
    const std::size_t begin = text.size();
    text += change(list.view(piece), piece.first);
    piece.begin = begin;
    piece.end = text.size();
  }
  list.text = std::move(text);
}

class Sequence : public PreTokenizer {
 public:
  Sequence(const Json& json, const std::string& where) {
    if (json.is_null()) return;
    const auto it = json.find("pretokenizers");
    if (it == json.end() || !it->is_array()) fail_input(where, "key 'pretokenizers' is not a list");
    for (const auto& part : *it) parts_.push_back(make_pre_tokenizer(part, where));
  }
  void apply(PieceList& list) const override {
    for (const auto& part : parts_) part->apply(list);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

class Split : public PreTokenizer {
 public:
  Split(const Json& json, const std::string& where)
      : pattern_(json, where),
        behavior_(parse_behavior(json_get<std::string>(json, "behavior", where), where)),
        invert_(json_find<bool>(json, "invert", where).value_or(false)) {}
  void apply(PieceList& list) const override {
    split_pieces(list, behavior_, invert_, [&](auto text, auto& out) { pattern_.find_all(text, out); });
  }

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

// The pieces of the first byte-level tokenizer, GPT-2's.
constexpr const char* kGpt2Pattern = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class ByteLevel : public PreTokenizer {
 public:
  ByteLevel(const Json& json, const std::string& where)
      : prefix_space_(json_get<bool>(json, "add_prefix_space", where)) {
    if (json_find<bool>(json, "use_regex", where).value_or(true)) regex_ = std::make_unique<Regex>(kGpt2Pattern, where);
  }
  void apply(PieceList& list) const override {
    if (prefix_space_)
      rewrite(list, [](std::string_view text, bool) {
        std::string out(text.starts_with(' ') ? 0 : 1, ' ');
        return out.append(text);
      });
    if (regex_)
      split_pieces(list, Behavior::isolated, false, [&](auto text, auto& out) { regex_->find_all(text, out); });
    rewrite(list, [](auto text, bool) { return to_byte_level(text); });
  }

 private:
  bool prefix_space_;
  std::unique_ptr<Regex> regex_;
};

// Every character with a property is a match of its own.
template <class F>
void find_characters(std::string_view text, const F& has_property, std::vector<Match>& out) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    if (has_property(next_code_point(text, at))) out.push_back({start, at});
  }
}

class Characters : public PreTokenizer {
 public:
  Characters(bool (*has_property)(char32_t), Behavior behavior) : has_property_(has_property), behavior_(behavior) {}
  void apply(PieceList& list) const override {
    split_pieces(list, behavior_, false, [&](auto text, auto& out) { find_characters(text, has_property_, out); });
  }

 private:
  bool (*has_property_)(char32_t);
  Behavior behavior_;
};

// \w+|[^\w\s]+ as Rust's regex crate means \w.
class Whitespace : public PreTokenizer {
 public:
  explicit Whitespace(const std::string& where)
      : regex_(fmt::format(R"([{0}]+|[^{0}\s]+)", R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200c}\x{200d})"), where) {}
  void apply(PieceList& list) const override {
    split_pieces(list, Behavior::removed, true, [&](auto text, auto& out) { regex_.find_all(text, out); });
  }

 private:
  Regex regex_;
};

class Metaspace : public PreTokenizer {
 public:
  Metaspace(const Json& json, const std::string& where)
      : replacement_(json_get<std::string>(json, "replacement", where)) {
    const auto scheme = json_find<std::string>(json, "prepend_scheme", where).value_or("always");
    const auto prefix_space = json_find<bool>(json, "add_prefix_space", where);
    if (prefix_space == false && scheme != "never")
      fail_input(where, "Metaspace: add_prefix_space does not agree with prepend_scheme '{}'", scheme);
    if (scheme != "always" && scheme != "first" && scheme != "never")
      fail_unsupported(where, "Metaspace: prepend_scheme '{}' is not supported", scheme);
    if (replacement_.empty()) fail_input(where, "Metaspace: the replacement is empty");
    always_ = scheme == "always";
    first_ = scheme == "first";
    split_ = json_find<bool>(json, "split", where).value_or(true);
  }
  void apply(PieceList& list) const override {
    rewrite(list, [&](std::string_view text, bool first) {
      std::string out;
      if (!text.starts_with(' ') && !text.starts_with(replacement_) && (always_ || (first_ && first)))
        out = replacement_;
      for (const char c : text) c == ' ' ? out += replacement_ : out += c;
      return out;
    });
    if (split_) split_pieces(list, Behavior::merged_with_next, false, [&](auto text, auto& out) { find(text, out); });
  }

 private:
  void find(std::string_view text, std::vector<Match>& out) const {
    for (auto at = text.find(replacement_); at != std::string_view::npos; at = text.find(replacement_, at + 1))
      out.push_back({at, at + replacement_.size()});
  }
  std::string replacement_;  // one character
  bool always_, first_, split_;
};

Behavior digits_behavior(const Json& json, const std::string& where) {
  return json_get<bool>(json, "individual_digits", where) ? Behavior::isolated : Behavior::contiguous;
}

}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(const Json& json, const std::string& where) {
  if (json.is_null()) return std::make_unique<Sequence>(json, where);
  const auto type = json_get<std::string>(json, "type", where);
  if (type == "Sequence") return std::make_unique<Sequence>(json, where);
  if (type == "Split") return std::make_unique<Split>(json, where);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>(json, where);
  if (type == "Digits") return std::make_unique<Characters>(&is_numeric, digits_behavior(json, where));
  if (type == "Whitespace") return std::make_unique<Whitespace>(where);
  if (type == "WhitespaceSplit") return std::make_unique<Characters>(&is_white_space, Behavior::removed);
  if (type == "Metaspace") return std::make_unique<Metaspace>(json, where);
  fail_unsupported(where, "pre-tokenizer '{}' is not supported", type);
}

}  // namespace nearplane
