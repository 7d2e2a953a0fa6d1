// What the subcommands share: each adds itself to the program and returns its exit code when it was the one chosen.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "nearplane/export.h"
#include "nearplane/quantize.h"

namespace nearplane::cli {

/// Set by the subcommand the user chose; run after all options are parsed.
using Action = std::function<int()>;

void add_quantize(CLI::App& program, Action& action);
void add_eval(CLI::App& program, Action& action);
void add_run(CLI::App& program, Action& action);
void add_inspect(CLI::App& program, Action& action);
void add_export(CLI::App& program, Action& action);
void add_prove(CLI::App& program, Action& action);
void add_plan(CLI::App& program, Action& action);

/// The names of export formats.
extern const std::map<std::string, ExportFormat> kExportFormats;

/// An option whose values are names: `--order act`. The help shows the names.
template <class Enum>
CLI::Option* add_choice(CLI::App& app, const std::string& flags, Enum& value, const std::map<std::string, Enum>& names,
                        const std::string& help) {
  return app.add_option(flags, value, help)
      ->transform(CLI::CheckedTransformer(names).description(""))
      ->type_name([&names] {
        std::string text;
        for (const auto& [name, unused] : names) text += (text.empty() ? "" : "|") + name;
        return text;
      }())
      ->default_str("");
}

/// --threads and --arithmetic of calibration.
void add_machine_options(CLI::App& app, int& threads, Arithmetic& arithmetic);
/// The same and --expand, for subcommands that multiply with the codes of stores; `arithmetic` holds the default.
void add_inference_options(CLI::App& app, int& threads, Arithmetic& arithmetic);

/// A line for each.
void print_embeddings(const std::vector<EmbeddingRecord>& embeddings);

}  // namespace nearplane::cli
