#include "nearplane/plan.h"

#include <fmt/format.h>

#include "command.h"
#include "console.h"
#include "settings.h"

namespace nearplane::cli {
namespace {

struct Arguments {
  std::shared_ptr<Settings> settings = std::make_shared<Settings>();
  bool json = false, quiet = false;
};

void print_json(const Plan& p) {
  fmt::print(
      "{{\"blocks\": {}, \"tokens\": {}, \"store_bytes\": {}, \"work_bytes\": {}, \"peak_memory\": {}, "
      "\"text_seconds\": {:.3f}, \"block_seconds\": {:.3f}, \"seconds\": {:.3f}, \"trial_tokens\": {}, "
      "\"layers\": [",
      p.blocks, p.tokens, p.store_bytes, p.work_bytes, p.peak_memory, p.text_seconds, p.block_seconds, p.seconds,
      p.trial_tokens);
  const char* separator = "";
  for (const auto& l : p.layers) {
    fmt::print(
        "{}{{\"name\": \"{}\", \"rows\": {}, \"cols\": {}, \"bits_per_weight\": {}, \"stored_bytes\": {}, "
        "\"seconds\": {:.3f}}}",
        separator, l.name, l.rows, l.cols, l.bits_per_weight, l.stored_bytes, l.seconds);
    separator = ", ";
  }
  fmt::print("]}}\n");
}

void print_text(const Plan& p) {
  fmt::print("one of {} blocks\n  {:<38} {:>16} {:>8} {:>12} {:>9}\n", p.blocks, "layer", "shape", "bits", "bytes",
             "seconds");
  for (const auto& l : p.layers)
    fmt::print("  {:<38} {:>16} {:>8.3f} {:>12} {:>9.2f}\n", l.name, fmt::format("{} x {}", l.rows, l.cols),
               l.bits_per_weight, l.stored_bytes, l.seconds);
  fmt::print("time    {} (", duration(p.seconds));
  if (p.text_seconds > 0) fmt::print("{} to write the calibration text, ", duration(p.text_seconds));
  fmt::print("{:.1f} s for each block with {} tokens)\n", p.block_seconds, p.tokens);
  fmt::print("memory  {} MiB at most\n", p.peak_memory >> 20);
  fmt::print("disk    {} MiB for the store, {} MiB more while the run is under way\n", p.store_bytes >> 20,
             p.work_bytes >> 20);
}

int run(const Arguments& arguments) {
  Console console(arguments.quiet);
  const auto plan = plan_quantization(arguments.settings->model, chosen(*arguments.settings), console);
  arguments.json ? print_json(plan) : print_text(plan);
  return 0;
}

}  // namespace

void add_plan(CLI::App& program, Action& action) {
  auto* app = program.add_subcommand("plan", "what quantize will take, from a trial of one block: time, memory, disk");
  auto arguments = std::make_shared<Arguments>();
  add_settings(*app, arguments->settings);
  app->add_flag("--json", arguments->json, "one JSON object on stdout");
  app->add_flag("-q,--quiet", arguments->quiet, "no progress");
  app->callback([&action, arguments] { action = [arguments] { return run(*arguments); }; });
}

}  // namespace nearplane::cli
