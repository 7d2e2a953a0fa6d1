// A conversation as the text a chat model was trained on: every message in the frame of its role. What a model's own
// template says is found out in chat_template.h.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace nearplane {

enum class ChatRole { system, user, assistant };

struct ChatMessage {
  ChatRole role;
  std::string text;  // valid UTF-8
};

/// A rendered conversation. `quoted`: where the texts of messages lie in it; markers of the format in there are text.
struct ChatPrompt {
  std::string text;
  std::vector<TextRange> quoted;
};

struct ChatFormat {
  struct Frame {
    std::string open, close;
    bool trim = false;  // white space around the text is left out, as Python's str.strip() does
  };
  /// Where the system message goes: into a message of its own; into the first or the last message of the user, in its
  /// frame before that message's text; or nowhere.
  enum class SystemPlace { own, first_user, last_user, none };

  std::string name;   // of the family, for messages
  std::string start;  // before everything
  Frame system, user, assistant;
  SystemPlace system_place = SystemPlace::own;
  std::optional<std::string> default_system;  // where the conversation has none
  std::string reply;                          // after everything: what makes the model speak
  bool drops_thinking = false;                // of earlier replies only what follows </think> counts

  /// `messages`: the user's and the model's in turn, the user's first and last. Error{unsupported} if there is a system
  /// message and no place for one.
  ChatPrompt render(const std::optional<std::string>& system_text, std::span<const ChatMessage> messages) const;
};

}  // namespace nearplane
