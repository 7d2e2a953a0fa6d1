// Text from a model or store: a prompt continued, or a conversation held through the model's chat template.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nearplane/quantize.h"

namespace nearplane {

/// How the next token is chosen. The steps, in this order: repetition penalty, temperature, top-k, top-p, min-p, a draw
/// from what is left in proportion to its probability. The same model, text, options and seed give the same tokens on
/// any number of threads. After an end-of-sequence token of the model (config.json and generation_config.json) no other
/// is drawn.
struct GenerateOptions {
  std::int64_t tokens = 256;  // at most this many new ones, an end-of-sequence token included; > 0
  double temperature = 0;     // logits are divided by it, >= 0; 0 = the most likely token, nothing is drawn
  std::int64_t top_k = 0;     // only this many of the most likely tokens (smaller id first among equals); 0 = all
  double top_p = 1;  // only the fewest most likely tokens whose probabilities reach this sum; in (0, 1], 1 = all
  double min_p = 0;  // only tokens at least this times as likely as the most likely one; in [0, 1], 0 = all
  /// Logits of tokens that occur in the prompt (with system message, history and template) or in the reply so far are
  /// divided by it where positive, multiplied where negative, once per token however often it occurs; > 0, 1 = as is.
  double repetition_penalty = 1;
  std::uint64_t seed = 0;
  /// The text ends before the first of these that is complete, across tokens too; what may still become one is held
  /// back from on_text. Not empty, valid UTF-8.
  std::vector<std::string> stop;
};

/// Error{bad_input} naming the option and its range, for values that generate and Conversation::say would refuse.
void check_options(const GenerateOptions& options);

/// Why a text ended.
enum class Ending { tokens, end_of_sequence, stop_text, caller };

struct GenerateResult {
  /// All of the text, as on_text received it part by part: whole UTF-8 characters, U+FFFD for bytes that are none. Of a
  /// character that the last token left unfinished nothing is in it, nor of a stop text.
  std::string text;
  Ending ending = Ending::tokens;
  std::int64_t prompt_tokens = 0;    // the prompt, with all that the template puts around it and all of the history
  std::int64_t reused_tokens = 0;    // of them: at the front, still known from the last reply of the conversation
  std::int64_t tokens = 0;           // new ones, an end-of-sequence token included
  double prompt_seconds = 0;         // for prompt_tokens - reused_tokens of them
  double seconds = 0;                // for the new tokens
  std::int64_t forgotten_turns = 0;  // oldest turns of the conversation that were dropped to make room for this one
};

/// Receives the text as it grows, in parts of whole characters; returns false to end it.
using OnText = std::function<bool(std::string_view)>;

class Generator {
 public:
  /// Opens a Hugging Face folder, a GGUF file or a native store. threads: 0 = one per core. Error{bad_input,
  /// unsupported, io}.
  explicit Generator(const std::filesystem::path& model, Arithmetic arithmetic = Arithmetic::packed, int threads = 0);
  ~Generator();
  Generator(Generator&&) noexcept;
  Generator& operator=(Generator&&) noexcept;
  /// Continues `prompt`, in which special tokens written out ("<|im_start|>") are recognised. Every call starts anew.
  /// Error{bad_input} if the prompt is not valid UTF-8, an option is out of range, or prompt and tokens together do not
  /// fit the model's context.
  GenerateResult generate(std::string_view prompt, const GenerateOptions& options, const OnText& on_text);

 private:
  friend class Conversation;
  struct State;
  std::unique_ptr<State> state_;
};

/// Turns of a user and the model, formatted by the model's own chat template (chat_template.jinja,
/// tokenizer_config.json or the metadata of a GGUF file). docs/formats/chat.md says which templates are known. Special
/// tokens written out in the texts of user, system or model stay text. Replies to the same turns with the same options
/// are the same.
class Conversation {
 public:
  /// `generator` must outlive it. system: the system message; without one the template's own default, if it has any.
  /// Error{bad_input} for a model without template or a system message that is not UTF-8; Error{unsupported} naming
  /// what is not known of its template, or that it takes no system message.
  explicit Conversation(Generator& generator, std::optional<std::string> system = std::nullopt);
  ~Conversation();
  /// The model's reply to `text`, which both become part of the history. If history, text and options.tokens together
  /// do not fit the model's context, the oldest turns are dropped until they do; the system message stays. Every reply
  /// draws its own numbers from the seed. Error{bad_input} as for generate, also where `text` alone does not fit; then
  /// the conversation is what it was before.
  GenerateResult say(std::string_view text, const GenerateOptions& options, const OnText& on_text);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace nearplane
