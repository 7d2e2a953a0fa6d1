#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "command.h"
#include "console.h"
#include "nearplane/error.h"
#include "nearplane/generate.h"
#include "nearplane/machine.h"

namespace nearplane::cli {
namespace {

struct Arguments {
  std::string model;
  std::optional<std::string> prompt, system;
  bool chat = false, quiet = false;
  GenerateOptions options;
  Arithmetic arithmetic = Arithmetic::packed;
  int threads = 0;
};

std::string speed(std::int64_t tokens, double seconds) {
  return fmt::format("{:.2f} s: {:.1f} tokens/s", seconds, static_cast<double>(tokens) / std::max(seconds, 1e-9));
}

// Answers one prompt after the other: each for itself, or as turns of one conversation.
class Speaker {
 public:
  explicit Speaker(const Arguments& arguments)
      : arguments_(arguments),
        console_(arguments.quiet),
        generator_(arguments.model, arguments.arithmetic, arguments.threads) {
    if (arguments.chat) conversation_.emplace(generator_, arguments.system);
  }

  bool cancelled() const { return console_.cancelled(); }

  void answer(std::string_view prompt) {
    const auto& options = arguments_.options;
    const auto on_text = [&](std::string_view text) {
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
      return !console_.cancelled();
    };
    const auto result =
        conversation_ ? conversation_->say(prompt, options, on_text) : generator_.generate(prompt, options, on_text);
    fmt::print("\n");
    std::fflush(stdout);
    if (result.forgotten_turns > 0)
      console_.on_message(Severity::warning, fmt::format("the context was full: the oldest {} of the conversation {} "
                                                         "forgotten",
                                                         result.forgotten_turns == 1 ? "turn" : "turns",
                                                         result.forgotten_turns == 1 ? "is" : "are"));
    if (arguments_.quiet) return;
    const auto read = result.prompt_tokens - result.reused_tokens;
    const auto known = result.reused_tokens > 0 ? fmt::format(" after {} known", result.reused_tokens) : "";
    fmt::print(stderr, "[{} prompt tokens{} in {}, {} tokens in {}, {}]\n", read, known,
               speed(read, result.prompt_seconds), result.tokens, speed(result.tokens, result.seconds),
               vector_target());
  }

 private:
  const Arguments& arguments_;
  Console console_;
  Generator generator_;
  std::optional<Conversation> conversation_;
};

// One prompt per line. A line that cannot be answered is named and left out; the exit code tells.
int answer_lines(Speaker& speaker) {
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  int code = 0;
  for (std::string line; !speaker.cancelled();) {
    if (terminal) fmt::print(stderr, "> ");
    if (!std::getline(std::cin, line)) break;
    if (line.empty()) continue;
    try {
      speaker.answer(line);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::bad_input) throw;
      fmt::print(stderr, "nearplane: {}\n", error.what());
      code = 2;
    }
  }
  return code;
}

int run(const Arguments& arguments) {
  check_options(arguments.options);
  if (arguments.system && !arguments.chat) throw Error(ErrorCode::bad_input, "needs --chat", "--system");
  Speaker speaker(arguments);
  int code = 0;
  if (arguments.prompt)
    speaker.answer(*arguments.prompt);
  else
    code = answer_lines(speaker);
  return speaker.cancelled() ? 130 : code;
}

void add_sampling_options(CLI::App& app, GenerateOptions& options) {
  app.add_option("--tokens", options.tokens, "at most this many new tokens")->capture_default_str();
  app.add_option("--repetition-penalty", options.repetition_penalty,
                 "divides positive logits of tokens in the prompt (all of it) or the reply so far, multiplies negative "
                 "ones; 1 = none")
      ->capture_default_str();
  app.add_option("--temperature", options.temperature, "divides logits; 0 = always the most likely token")
      ->capture_default_str();
  app.add_option("--top-k", options.top_k, "draw from so many most likely tokens; 0 = all")->capture_default_str();
  app.add_option("--top-p", options.top_p, "then from the fewest most likely that reach this probability together")
      ->capture_default_str();
  app.add_option("--min-p", options.min_p, "then from those at least this times as likely as the most likely")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "seed of the draws")->capture_default_str();
  app.add_option("--stop", options.stop, "end before this text; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
}

}  // namespace

void add_run(CLI::App& program, Action& action) {
  auto* app = program.add_subcommand(
      "run", "continue a prompt, or chat, with a model or store; without a prompt, line by line");
  auto arguments = std::make_shared<Arguments>();
  app->add_option("MODEL", arguments->model, "Hugging Face folder, GGUF file or store")->required();
  app->add_option("--prompt", arguments->prompt, "text to continue; with --chat, what the user says");
  app->add_flag("--chat", arguments->chat, "hold a conversation in the model's own chat template");
  app->add_option("--system", arguments->system, "system message of the conversation, instead of the model's own");
  add_sampling_options(*app, arguments->options);
  app->add_flag("-q,--quiet", arguments->quiet, "no statistics");
  add_inference_options(*app, arguments->threads, arguments->arithmetic);
  app->callback([&action, arguments] { action = [arguments] { return run(*arguments); }; });
}

}  // namespace nearplane::cli
