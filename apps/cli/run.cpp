#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "command.h"
#include "console.h"
#include "nearplane/generate.h"

namespace nearplane::cli {
namespace {

struct Arguments {
  std::string model, prompt;
  bool has_prompt = false, quiet = false;
  GenerateOptions options;
  Arithmetic arithmetic = Arithmetic::f32;
  int threads = 0;
};

void answer(Generator& generator, std::string_view prompt, const Arguments& arguments, const Console& console) {
  const auto result = generator.generate(prompt, arguments.options, [&](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    return !console.cancelled();
  });
  fmt::print("\n");
  if (!arguments.quiet)
    fmt::print(stderr, "[{} prompt tokens in {:.2f} s, {} tokens in {:.2f} s: {:.1f} tokens/s]\n", result.prompt_tokens,
               result.prompt_seconds, result.tokens, result.seconds,
               static_cast<double>(result.tokens) / result.seconds);
}

int run(const Arguments& arguments) {
  const Console console(arguments.quiet);
  Generator generator(arguments.model, arguments.arithmetic, arguments.threads);
  if (arguments.has_prompt) {
    answer(generator, arguments.prompt, arguments, console);
    return console.cancelled() ? 130 : 0;
  }
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  for (std::string line; !console.cancelled();) {
    if (terminal) fmt::print(stderr, "> ");
    if (!std::getline(std::cin, line)) break;
    if (!line.empty()) answer(generator, line, arguments, console);
  }
  return console.cancelled() ? 130 : 0;
}

}  // namespace

void add_run(CLI::App& program, Action& action) {
  auto* app = program.add_subcommand("run", "continue a prompt with a model or store; without a prompt, line by line");
  auto arguments = std::make_shared<Arguments>();
  app->add_option("MODEL", arguments->model, "Hugging Face folder, GGUF file or store")->required();
  auto* prompt = app->add_option("--prompt", arguments->prompt, "text to continue");
  app->add_option("--tokens", arguments->options.tokens, "at most this many new tokens")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app->add_option("--temperature", arguments->options.temperature, "0 = always the most likely token")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app->add_option("--seed", arguments->options.seed, "seed of the draws")->capture_default_str();
  app->add_flag("-q,--quiet", arguments->quiet, "no statistics");
  add_machine_options(*app, arguments->threads, arguments->arithmetic);
  app->callback([&action, arguments, prompt] {
    arguments->has_prompt = prompt->count() > 0;
    action = [arguments] { return run(*arguments); };
  });
}

}  // namespace nearplane::cli
