#include "tokenizer/normalizer.h"

#include <utility>
#include <vector>

#include "base/check.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/pattern.h"
#include "tokenizer/unicode.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

// A normalizer given by a function of the text.
template <class F>
class Simple : public Normalizer {
 public:
  explicit Simple(F function) : function_(std::move(function)) {}
  std::string apply(std::string text) const override { return function_(std::move(text)); }

 private:
  F function_;
};

template <class F>
std::unique_ptr<Normalizer> simple(F function) {
  return std::make_unique<Simple<F>>(std::move(function));
}

std::unique_ptr<Normalizer> make_sequence(const Json& json, const std::string& where) {
  const auto it = json.find("normalizers");
  if (it == json.end() || !it->is_array()) fail_input(where, "key 'normalizers' is not a list");
  std::vector<std::unique_ptr<Normalizer>> parts;
  for (const auto& part : *it) parts.push_back(make_normalizer(part, where));
  return simple([parts = std::move(parts)](std::string text) {
    for (const auto& part : parts) text = part->apply(std::move(text));
    return text;
  });
}

std::unique_ptr<Normalizer> make_prepend(const Json& json, const std::string& where) {
  return simple([prefix = json_get<std::string>(json, "prepend", where)](std::string text) {
    return text.empty() ? text : prefix + text;
  });
}

std::unique_ptr<Normalizer> make_replace(const Json& json, const std::string& where) {
  auto pattern = std::make_unique<Pattern>(json, where);
  return simple([pattern = std::move(pattern), content = json_get<std::string>(json, "content", where)](
                    std::string text) { return pattern->replace_all(text, content); });
}

std::string strip_white_space(const std::string& text, bool left, bool right) {
  std::size_t begin = text.size(), end = 0;  // of everything that is not white space
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    if (is_white_space(next_code_point(text, at))) continue;
    begin = std::min(begin, start);
    end = at;
  }
  if (begin > end) return left || right ? std::string() : text;
  if (!left) begin = 0;
  if (!right) end = text.size();
  return text.substr(begin, end - begin);
}

std::unique_ptr<Normalizer> make_strip(const Json& json, const std::string& where) {
  return simple([left = json_get<bool>(json, "strip_left", where), right = json_get<bool>(json, "strip_right", where)](
                    const std::string& text) { return strip_white_space(text, left, right); });
}

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(const Json& json, const std::string& where) {
  if (json.is_null()) return simple([](std::string text) { return text; });
  const auto type = json_get<std::string>(json, "type", where);
  const std::pair<const char*, NormalForm> forms[] = {
      {"NFC", NormalForm::nfc}, {"NFD", NormalForm::nfd}, {"NFKC", NormalForm::nfkc}, {"NFKD", NormalForm::nfkd}};
  for (const auto& [name, form] : forms)
    if (type == name) return simple([f = form](const std::string& text) { return normalize_text(text, f); });
  if (type == "Sequence") return make_sequence(json, where);
  if (type == "Prepend") return make_prepend(json, where);
  if (type == "Replace") return make_replace(json, where);
  if (type == "Strip") return make_strip(json, where);
  if (type == "Lowercase") return simple([](const std::string& text) { return lower_text(text); });
  if (type == "StripAccents") return simple([](const std::string& text) { return strip_marks(text); });
  if (type == "ByteLevel") return simple([](const std::string& text) { return to_byte_level(text); });
  fail_unsupported(where, "normalizer '{}' is not supported", type);
}

}  // namespace nearplane
