#include <fmt/format.h>

#include <cmath>

#include "command.h"
#include "console.h"
#include "nearplane/evaluate.h"

namespace nearplane::cli {
namespace {

const std::map<std::string, Protocol> kProtocols{
    {"plain", Protocol::plain}, {"wikitext2", Protocol::wikitext2}, {"c4", Protocol::c4}};

struct Arguments {
  std::string model, reference, text, task;
  EvaluateOptions options;
  bool json = false, quiet = false;
};

// JSON has no NaN: what was not measured is null.
std::string number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : "null"; }

void print_json(const EvaluateResult& r) {
  fmt::print(
      "{{\"perplexity\": {}, \"reference_perplexity\": {}, \"kl\": {}, \"predicted_kl\": {}, \"kl_p99\": {}, \"top1\": "
      "{}, "
      "\"tokens\": {}, \"windows\": {}, \"bits_per_weight\": {}, \"seconds\": {}, \"peak_memory\": {}, "
      "\"text_bytes\": {}, \"text_lines\": {}, \"text_carriage_returns\": {}, \"text_tokens\": {}}}\n",
      number(r.perplexity), number(r.reference_perplexity), number(r.kl), number(r.predicted_kl), number(r.kl_p99),
      number(r.top1), r.tokens, r.windows, number(r.bits_per_weight), number(r.seconds), r.peak_memory, r.text_bytes,
      r.text_lines, r.text_carriage_returns, r.text_tokens);
}

void print_text(const Arguments& arguments, const EvaluateResult& r) {
  fmt::print("text        {} bytes, {} line breaks, {} carriage returns, {} tokens\n", r.text_bytes, r.text_lines,
             r.text_carriage_returns, r.text_tokens);
  fmt::print("windows     {} of {} tokens, {} predicted\n", r.windows, arguments.options.length, r.tokens);
  fmt::print("bits        {:.3f} per weight of the linear layers\n", r.bits_per_weight);
  fmt::print("perplexity  {:.4f}", r.perplexity);
  if (!arguments.reference.empty()) {
    fmt::print("  (reference {:.4f})\nKL          {:.5f} nats mean, {:.4f} at 99 %\n", r.reference_perplexity, r.kl,
               r.kl_p99);
    if (std::isfinite(r.predicted_kl)) fmt::print("            {:.5f} nats predicted\n", r.predicted_kl);
    fmt::print("top-1       {:.2f} % as the reference", 100 * r.top1);
  }
  fmt::print("\ntime        {:.1f} s, peak {} MiB\n", r.seconds, r.peak_memory >> 20);
}

void print_task(const TaskResult& r, bool json) {
  if (json) {
    fmt::print(
        "{{\"questions\": {}, \"acc\": {}, \"acc_stderr\": {}, \"acc_norm\": {}, \"acc_norm_stderr\": {}, "
        "\"reference_acc\": {}, \"reference_acc_norm\": {}, \"same_answers\": {}, \"seconds\": {}, "
        "\"peak_memory\": {}}}\n",
        r.questions, number(r.accuracy), number(r.accuracy_error), number(r.normalised), number(r.normalised_error),
        number(r.reference_accuracy), number(r.reference_normalised), number(r.same_answers), number(r.seconds),
        r.peak_memory);
    return;
  }
  fmt::print("questions   {}\nacc         {:.4f} +- {:.4f}", r.questions, r.accuracy, r.accuracy_error);
  if (std::isfinite(r.reference_accuracy)) fmt::print("  (reference {:.4f})", r.reference_accuracy);
  fmt::print("\nacc_norm    {:.4f} +- {:.4f}", r.normalised, r.normalised_error);
  if (std::isfinite(r.same_answers))
    fmt::print("  (reference {:.4f})\nanswers     {:.2f} % as the reference", r.reference_normalised,
               100 * r.same_answers);
  fmt::print("\ntime        {:.1f} s, peak {} MiB\n", r.seconds, r.peak_memory >> 20);
}

int run_task(const Arguments& arguments, Console& console) {
  const auto& options = arguments.options;
  const TaskOptions task{arguments.task, options.reference, options.windows, options.arithmetic, options.threads};
  print_task(evaluate_task(arguments.model, task, console), arguments.json);
  return 0;
}

int run(Arguments& arguments) {
  arguments.options.text = arguments.text;
  if (!arguments.reference.empty()) arguments.options.reference = arguments.reference;
  Console console(arguments.quiet);
  if (!arguments.task.empty()) return run_task(arguments, console);
  const auto result = evaluate(arguments.model, arguments.options, console);
  if (arguments.json)
    print_json(result);
  else
    print_text(arguments, result);
  return 0;
}

}  // namespace

void add_eval(CLI::App& program, Action& action) {
  auto* app = program.add_subcommand(
      "eval", "perplexity of a model or store and its distance from a reference; accuracy on questions");
  auto arguments = std::make_shared<Arguments>();
  auto& options = arguments->options;
  app->add_option("MODEL", arguments->model, "Hugging Face folder, GGUF file or store")->required();
  auto* what = app->add_option_group("what to measure on");
  what->add_option("--text", arguments->text, "text: perplexity");
  what->add_option("--task", arguments->task, "JSON lines of questions with choices: accuracy");
  what->require_option(1);
  app->add_option("--reference", arguments->reference, "model or store to compare with, token by token");
  add_choice(
      *app, "--protocol", options.protocol, kProtocols,
      "windows: the file as it is; a raw WikiText file as the papers join it; JSON lines as they draw C4 (plain)");
  app->add_option("--length", options.length, "tokens of a window")->capture_default_str();
  app->add_option("--windows", options.windows, "windows, or questions, to measure; 0 = all (c4: 256)")
      ->capture_default_str();
  app->add_option("--seed", options.seed, "seed of the c4 protocol")->capture_default_str();
  app->add_flag("--json", arguments->json, "one JSON object on stdout");
  app->add_flag("-q,--quiet", arguments->quiet, "no progress");
  add_inference_options(*app, options.threads, options.arithmetic);
  app->callback([&action, arguments] { action = [arguments] { return run(*arguments); }; });
}

}  // namespace nearplane::cli
