#include "nearplane/export.h"

#include <fmt/format.h>

#include "command.h"
#include "console.h"

namespace nearplane::cli {

const std::map<std::string, ExportFormat> kExportFormats{{"gptq", ExportFormat::gptq},
                                                         {"gptq-v2", ExportFormat::gptq_v2},
                                                         {"gguf", ExportFormat::gguf},
                                                         {"compressed-tensors", ExportFormat::compressed_tensors}};

namespace {

struct Arguments {
  std::string store, out;
  ExportFormat format = ExportFormat::compressed_tensors;
  bool quiet = false;
};

int run(const Arguments& arguments) {
  Console console(arguments.quiet);
  const auto result = export_store(arguments.store, arguments.format, arguments.out, console);
  fmt::print("{}: {} tensors, {} bytes, read back and equal to the store\n", arguments.out, result.tensors,
             result.bytes);
  return 0;
}

}  // namespace

void add_export(CLI::App& program, Action& action) {
  auto* app = program.add_subcommand("export", "translate a store into the format of another engine");
  auto arguments = std::make_shared<Arguments>();
  app->add_option("STORE", arguments->store, "store made by quantize")->required();
  add_choice(*app, "--format", arguments->format, kExportFormats, "format of the result")->required();
  app->add_option("-o,--output", arguments->out, "folder (gguf: file) to write, must not exist")->required();
  app->add_flag("-q,--quiet", arguments->quiet, "no progress");
  app->callback([&action, arguments] { action = [arguments] { return run(*arguments); }; });
}

}  // namespace nearplane::cli
