// The chat template of a model, recognised.
// Problem: models bring their chat format as a program in Jinja. No library for it is packaged, and the formats of the
// supported families are few: each is known here by the expressions that its template must contain. A template that
// has others, or more than these, is refused: a conversation framed otherwise than trained is silently worse.
// docs/formats/chat.md lists what is known.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/json.h"
#include "runtime/chat_format.h"

namespace nearplane {

/// The format of a template. `bos` and `eos`: texts of the tokens that templates call bos_token and eos_token, empty if
/// there are none. Error{unsupported} naming `where` and what is not known.
ChatFormat recognise_chat_template(std::string_view jinja, const std::string& bos, const std::string& eos,
                                   const std::string& where);

/// The format of a model or store: chat_template.jinja, else chat_template of tokenizer_config.json (of several, the
/// one named "default"), else of the GGUF metadata. Error{bad_input} if there is none.
ChatFormat open_chat_format(const std::filesystem::path& model);

}  // namespace nearplane
