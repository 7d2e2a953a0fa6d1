// The text of a growing list of tokens, handed on part by part as soon as it is certain: whole UTF-8 characters, and
// nothing that may yet belong to a stop text.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "nearplane/generate.h"
#include "runtime/stop_strings.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {

class TextStream {
 public:
  /// `before`: tokens that the text continues. Some tokenizers drop a space at the very beginning of a text; that of a
  /// continuation stays. `tokenizer` and `on_text` must outlive it.
  TextStream(const Tokenizer& tokenizer, std::span<const Token> before, const std::vector<std::string>& stops,
             const OnText& on_text);

  enum class State { open, stopped, refused };  // refused: by on_text
  /// Takes one more token and hands on what has become certain.
  State add(Token token);
  /// There will be no more: hands on what was held back for a stop text that did not come.
  void finish();
  const std::string& text() const { return text_; }

 private:
  bool hand_on(std::size_t bytes);

  const Tokenizer& tokenizer_;
  StopStrings stops_;
  const OnText& on_text_;
  std::vector<Token> tokens_;
  std::size_t skip_;      // bytes of the decoded tokens that are `before`
  std::string raw_;       // the text of the tokens
  std::size_t done_ = 0;  // bytes of raw_ that were handed on
  std::string text_;      // as it was handed on
  State state_ = State::open;
};

}  // namespace nearplane
