// The options that say how to quantize, for the subcommands that do it or speak of it.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "nearplane/quantize.h"

namespace nearplane::cli {

struct Settings {
  std::string model;
  QuantizeOptions options;
  // Those whose default depends on the method.
  std::optional<bool> slope;
  std::optional<DriftOptions> drift;
  CLI::Option* group = nullptr;
};

/// MODEL and its options.
void add_settings(CLI::App& app, const std::shared_ptr<Settings>& settings);
/// The options, defaults filled in, once the line is parsed.
QuantizeOptions chosen(const Settings& settings);

}  // namespace nearplane::cli
