#include "runtime/text_stream.h"

#include <algorithm>

#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

// Length of the longest prefix of `text` that does not end inside a UTF-8 character.
std::size_t whole_characters(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (byte < 0x80) return text.size();
    if (byte >= 0xc0) {
      const std::size_t need = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return need > back ? text.size() - back : text.size();
    }
  }
  return text.size();
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer, std::span<const Token> before, const std::vector<std::string>& stops,
                       const OnText& on_text)
    : tokenizer_(tokenizer),
      stops_(stops),
      on_text_(on_text),
      tokens_(before.begin(), before.end()),
      skip_(tokenizer.decode(before, /*skip_special=*/true).size()) {}

TextStream::State TextStream::add(Token token) {
  tokens_.push_back(token);
  raw_ = tokenizer_.decode(tokens_, /*skip_special=*/true);
  raw_.erase(0, skip_);
  const auto safe = stops_.safe(raw_);
  if (safe.stopped) state_ = State::stopped;
  if (!hand_on(safe.bytes)) state_ = State::refused;
  return state_;
}

void TextStream::finish() {
  if (state_ == State::open) hand_on(raw_.size());
}

// All of raw_ up to `bytes` that is whole; false if on_text wants no more.
bool TextStream::hand_on(std::size_t bytes) {
  const auto whole = whole_characters(std::string_view(raw_).substr(0, bytes));
  if (whole <= done_) return true;
  const auto part = replace_invalid_utf8(std::string_view(raw_).substr(done_, whole - done_));
  done_ = whole;
  text_ += part;
  return on_text_(part);
}

}  // namespace nearplane
