#include "nearplane/quantize.h"

#include <fmt/format.h>

#include "command.h"
#include "console.h"
#include "nearplane/error.h"
#include "nearplane/export.h"
#include "settings.h"

namespace nearplane::cli {
namespace {

struct Arguments {
  std::shared_ptr<Settings> settings = std::make_shared<Settings>();
  std::string store, export_format;
  bool restart = false, quiet = false;
};

void print_summary(const Arguments& arguments, const QuantizeResult& result) {
  double worst = -1;
  std::string worst_name;
  for (const auto& layer : result.layers)
    if (layer.error > worst) worst = layer.error, worst_name = layer.name;
  fmt::print("{}: {} layers, {:.3f} bits per weight, {:.1f} s, peak {} MiB\n", arguments.store, result.layers.size(),
             result.bits_per_weight(), result.seconds, result.peak_memory >> 20);
  if (result.predicted_kl >= 0) fmt::print("predicted KL {:.4f} nats per token\n", result.predicted_kl);
  print_embeddings(result.embeddings);
  if (worst >= 0) fmt::print("largest layer error {:.3e} ({})\n", worst, worst_name);
}

int run(const Arguments& arguments) {
  auto options = chosen(*arguments.settings);
  options.restart = arguments.restart;
  Console console(arguments.quiet, arguments.store + ".log");
  try {
    const auto result = quantize(arguments.settings->model, arguments.store, options, console);
    print_summary(arguments, result);
    if (!arguments.export_format.empty()) {
      const auto format = kExportFormats.at(arguments.export_format);
      const auto out = arguments.store + (format == ExportFormat::gguf ? "." : "-") + arguments.export_format;
      export_store(arguments.store, format, out, console);
      fmt::print("{}: exported and read back\n", out);
    }
  } catch (const Error& error) {
    console.log(error.what());
    throw;
  }
  return 0;
}

}  // namespace

void add_quantize(CLI::App& program, Action& action) {
  auto* app = program.add_subcommand("quantize", "quantize the linear layers of a model into a store");
  auto arguments = std::make_shared<Arguments>();
  add_settings(*app, arguments->settings);
  app->add_option("-o,--output", arguments->store, "folder of the store, must not exist")->required();
  app->add_option("--export", arguments->export_format, "also translate the store for other engines")
      ->check(CLI::IsMember(kExportFormats));
  app->add_flag("--restart", arguments->restart,
                "begin anew; else the same call goes on with what a run before, stopped or killed, has finished");
  app->add_flag("-q,--quiet", arguments->quiet, "no progress");
  app->callback([&action, arguments] { action = [arguments] { return run(*arguments); }; });
}

}  // namespace nearplane::cli
