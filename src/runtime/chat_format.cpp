#include "runtime/chat_format.h"

#include <algorithm>
#include <cassert>

#include "base/check.h"
#include "tokenizer/unicode.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

// White space as Python's str.strip() sees it: Unicode's, and four separators of ASCII.
std::string_view stripped(std::string_view text) {
  std::size_t begin = text.size(), end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto start = at;
    const auto c = next_code_point(text, at);
    if (is_white_space(c) || (c >= 0x1c && c <= 0x1f)) continue;
    begin = std::min(begin, start), end = at;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

// What a reasoning model said after it thought.
std::string_view without_thinking(std::string_view text) {
  constexpr std::string_view kEnd = "</think>";
  const auto at = text.rfind(kEnd);
  if (at == text.npos) return text;
  text.remove_prefix(at + kEnd.size());
  return text.substr(std::min(text.find_first_not_of('\n'), text.size()));
}

void quote(ChatPrompt& prompt, std::string_view text) {
  if (text.empty()) return;
  prompt.quoted.push_back({prompt.text.size(), prompt.text.size() + text.size()});
  prompt.text += text;
}

void put(ChatPrompt& prompt, const ChatFormat::Frame& frame, std::string_view text) {
  prompt.text += frame.open;
  quote(prompt, frame.trim ? stripped(text) : text);
  prompt.text += frame.close;
}

// The user's text with the system message before it, both in the user's frame. Trimming takes what is at the ends of
// the two together, and the first thing is the system's opening.
void put_both(ChatPrompt& prompt, const ChatFormat& format, std::string_view system, std::string_view text) {
  prompt.text += format.user.open;
  put(prompt, format.system, system);
  if (format.user.trim) {
    const auto middle = stripped(text);
    text =
        middle.empty() ? middle : text.substr(0, static_cast<std::size_t>(middle.data() - text.data()) + middle.size());
  }
  quote(prompt, text);
  prompt.text += format.user.close;
}

}  // namespace

ChatPrompt ChatFormat::render(const std::optional<std::string>& system_text,
                              std::span<const ChatMessage> messages) const {
  assert(messages.size() % 2 == 1);
  const auto& said = system_text ? system_text : default_system;
  if (said && system_place == SystemPlace::none)
    fail_unsupported("system message", "the chat template of this model ({}) has no place for one", name);
  ChatPrompt prompt{start, {}};
  if (said && system_place == SystemPlace::own) put(prompt, system, *said);
  const std::size_t with_system = system_place == SystemPlace::last_user ? messages.size() - 1 : 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    assert(messages[i].role == (i % 2 == 0 ? ChatRole::user : ChatRole::assistant));
    const std::string_view text = messages[i].text;
    if (i % 2 == 1)
      put(prompt, assistant, drops_thinking ? without_thinking(text) : text);
    else if (said && system_place != SystemPlace::own && i == with_system)
      put_both(prompt, *this, *said, text);
    else
      put(prompt, user, text);
  }
  prompt.text += reply;
  return prompt;
}

}  // namespace nearplane
