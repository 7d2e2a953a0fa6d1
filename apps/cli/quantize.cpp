#include "nearplane/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <tuple>

#include "command.h"
#include "console.h"
#include "nearplane/error.h"
#include "nearplane/export.h"

namespace nearplane::cli {
namespace {

const std::map<std::string, Method> kMethods{
    {"rounding", Method::rounding}, {"nearest-plane", Method::nearest_plane},
    {"hptq", Method::hptq},         {"watersic", Method::watersic},
    {"trellis", Method::trellis},   {"quip", Method::quip},
    {"icquant", Method::icquant},   {"icquant-rounding", Method::icquant_rounding},
    {"spqr", Method::spqr},         {"ssqr", Method::ssqr},
};
const std::map<std::string, Solver> kSolvers{{"nearest-plane", Solver::nearest_plane}, {"kbest", Solver::kbest}};
const std::map<std::string, Order> kOrders{{"natural", Order::natural}, {"act", Order::act}};
const std::map<std::string, ScaleSearch> kScales{
    {"minmax", ScaleSearch::minmax}, {"diagonal", ScaleSearch::diagonal}, {"pivots", ScaleSearch::pivots}};
const std::map<std::string, Arithmetic> kArithmetics{{"f32", Arithmetic::f32}, {"bf16", Arithmetic::bf16}};

const std::map<std::string, std::pair<int, int>> kEfforts{{"fast", {4, 1}}, {"default", {8, 1}}, {"max", {8, 8}}};

struct Arguments {
  std::string model, store;
  QuantizeOptions options;
  std::string export_format;
  std::optional<bool> slope;
  std::optional<DriftOptions> drift;
  bool quiet = false;
};

DriftOptions parse_drift(const std::string& text) {
  if (text == "none") return {};
  if (text == "fitted") return {.fitted = true, .strength = 0};
  DriftOptions drift;
  if (!CLI::detail::lexical_cast(text, drift.strength))
    throw CLI::ValidationError("--drift", text + " is neither none, fitted nor a number");
  return drift;
}

// Half strength for the methods of this program, which it always serves; published baselines are as published.
DriftOptions default_drift(Method method) {
  constexpr std::array kOurs{Method::nearest_plane, Method::hptq, Method::watersic, Method::trellis, Method::ssqr};
  return {.fitted = false, .strength = std::ranges::find(kOurs, method) != kOurs.end() ? 0.5 : 0.0};
}

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

int run(Arguments& arguments) {
  auto& grid = arguments.options.grid;
  if (grid.method == Method::rounding && arguments.options.calibration.files.empty()) grid.scales = ScaleSearch::minmax;
  arguments.options.slope = arguments.slope.value_or(grid.method == Method::trellis);
  arguments.options.drift = arguments.drift.value_or(default_drift(grid.method));
  Console console(arguments.quiet, arguments.store + ".log");
  try {
    const auto result = quantize(arguments.model, arguments.store, arguments.options, console);
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

void add_threads(CLI::App& app, int& threads) {
  app.add_option("--threads", threads, "threads; 0 = one per core")->check(CLI::NonNegativeNumber);
}

}  // namespace

void add_machine_options(CLI::App& app, int& threads, Arithmetic& arithmetic) {
  add_threads(app, threads);
  add_choice(app, "--arithmetic", arithmetic, kArithmetics, "arithmetic of the forward pass (f32)");
}

void add_inference_options(CLI::App& app, int& threads, Arithmetic& arithmetic) {
  static const std::map<std::string, Arithmetic> kNames{{"f32", Arithmetic::f32},
                                                        {"bf16", Arithmetic::bf16},
                                                        {"packed", Arithmetic::packed},
                                                        {"expanded", Arithmetic::expanded}};
  add_threads(app, threads);
  const auto preset = arithmetic == Arithmetic::packed ? "packed" : "f32";
  auto* choice = add_choice(app, "--arithmetic", arithmetic, kNames,
                            fmt::format("packed: with the codes of a store, inputs as 16-bit integers; expanded: the "
                                        "same, entropy-coded layers in 4 to 8 bits; f32, bf16: decoded ({})",
                                        preset));
  app.add_flag_callback(
         "--expand", [&arithmetic] { arithmetic = Arithmetic::expanded; }, "the same as --arithmetic expanded")
      ->excludes(choice);
}

void add_quantize(CLI::App& program, Action& action) {
  auto* app = program.add_subcommand("quantize", "quantize the linear layers of a model into a store");
  auto arguments = std::make_shared<Arguments>();
  auto& options = arguments->options;
  app->add_option("MODEL", arguments->model, "Hugging Face folder or GGUF file")->required();
  app->add_option("-o,--output", arguments->store, "folder of the store, must not exist")->required();
  auto* bits =
      app->add_option("--bits", options.grid.bits,
                      "bits of a code, 2 to 8; of hptq, watersic, trellis and ssqr any number of bits per weight, "
                      "counted from the file")
          ->capture_default_str();
  auto* mix = app->add_option("--mix", options.mix,
                              "stored bits per weight on average; each layer gets 2, 3, 4, 5 or 8 bits by what the "
                              "model's output feels of its error")
                  ->excludes(bits);
  app->add_flag("--mix-apart", options.mix_apart,
                "layers that other engines fuse, q/k/v and gate/up, may have different bits: better, for this program")
      ->needs(mix);
  app->add_option_function<std::string>(
         "--slope", [arguments](const std::string& text) { arguments->slope = text == "one"; },
         "of entropy-coded methods: 'one' for the model gives bits to rows and layers by what the model's output "
         "feels; "
         "'none' gives all the same (one for trellis)")
      ->type_name("one|none")
      ->check(CLI::IsMember({"one", "none"}).description(""));
  app->add_option("--embedding-bits", options.embedding_bits,
                  "bits of the embedding and of a head of its own, one scale per row: 8; 0 = kept as they are")
      ->capture_default_str();
  auto* group = app->add_option("--group", options.grid.group,
                                "columns that share a scale; 0 = a row, which is what ssqr takes unless told otherwise")
                    ->capture_default_str();
  app->add_flag("--symmetric", options.grid.symmetric, "no zero points");
  add_choice(*app, "--method", options.grid.method, kMethods, "how weights become codes (nearest-plane)");
  add_choice(*app, "--solver", options.grid.solver, kSolvers,
             "nearest plane, or the list form that keeps the best few solutions of a row (nearest-plane)");
  app->add_option("--beam", options.grid.beam, "solutions that kbest keeps: 1, 2, 4 or 8")->capture_default_str();
  app->add_option("--alternate", options.grid.alternate, "rounds of steps given codes, codes given steps; 0 = none")
      ->capture_default_str();
  app->add_option("--states", options.grid.states, "of the trellis: 4, 8 or 16")->capture_default_str();
  app->add_option("--survivors", options.grid.survivors, "solutions kept for each state of the trellis: 1, 2, 4 or 8")
      ->capture_default_str();
  app->add_option_function<std::string>(
         "--effort",
         [arguments](const std::string& name) {
           std::tie(arguments->options.grid.states, arguments->options.grid.survivors) = kEfforts.at(name);
         },
         "states and survivors of the trellis: 4 and 1, 8 and 1, 8 and 8")
      ->type_name("fast|default|max")
      ->check(CLI::IsMember({"fast", "default", "max"}).description(""))
      ->excludes("--states")
      ->excludes("--survivors");
  add_choice(*app, "--order", options.grid.order, kOrders, "order in which columns are decided (act)");
  add_choice(*app, "--scales", options.grid.scales, kScales,
             "how scales are chosen: range, or least error weighted by H_jj or by the pivots (pivots)");
  app->add_option("--damping", options.grid.damping, "added to the diagonal of H, relative to its mean")
      ->capture_default_str();
  app->add_option("--calib", options.calibration.files,
                  "calibration text, or JSON lines with a \"text\" field; without it the model writes its own");
  app->add_option_function<std::string>(
         "--drift", [arguments](const std::string& text) { arguments->drift = parse_drift(text); },
         "correct layers for what the quantized layers before them did to their inputs: none, a strength in [0, 1], or "
         "fitted to each layer (0.5; rounding and published baselines none)")
      ->type_name("none|fitted|STRENGTH");
  app->add_option("--samples", options.calibration.samples, "calibration windows")->capture_default_str();
  app->add_option("--length", options.calibration.length, "tokens of a window")->capture_default_str();
  app->add_option("--seed", options.calibration.seed, "seed of all random choices")->capture_default_str();
  app->add_option("--export", arguments->export_format, "also translate the store for other engines")
      ->check(CLI::IsMember(kExportFormats));
  app->add_flag("-q,--quiet", arguments->quiet, "no progress");
  add_machine_options(*app, options.threads, options.arithmetic);
  app->callback([&action, arguments, group] {
    if (arguments->options.grid.method == Method::ssqr && group->count() == 0) arguments->options.grid.group = 0;
    action = [arguments] { return run(*arguments); };
  });
}

}  // namespace nearplane::cli
