#include "nearplane/prove.h"

#include <fmt/format.h>

#include "command.h"
#include "console.h"

namespace nearplane::cli {
namespace {

void print_layer(const ProvedLayer& l) {
  fmt::print("\n{}, {} bits: {} targets x {} columns, {:.1f} % of the codes clipped, nearest tie {:.0e} steps away\n",
             l.name, l.bits, l.rows, l.columns,
             100.0 * static_cast<double>(l.clipped) / static_cast<double>(l.rows * l.columns), l.margin);
  fmt::print("  {:<50} {:>16} {:>16}\n", "against nearest plane in parameter space", "other integers", "error vectors");
  for (const auto& c : l.comparisons) fmt::print("  {:<50} {:>16} {:>16.1e}\n", c.algorithm, c.different, c.gap);
  fmt::print("  error {:.6e} = sum of e_k^2 {:.6e}; limit of any code {:.2e}; ", l.direct, l.error, l.limit);
  if (l.clipped > 0)
    fmt::print("no bound holds where codes are clipped\n");
  else
    fmt::print("expected {:.2e}, bound {:.2e}\n", l.bound / 3, l.bound);
  if (!l.agrees) fmt::print("  DOES NOT AGREE\n");
}

void print_ends(const ProveResult& r) {
  fmt::print("\nexact fractions: {} lattices, {} of them with ties, {} disagreements in targets, pivots or integers\n",
             r.exact_lattices, r.exact_ties, r.exact_different);
  fmt::print("the bound is attained: target in the corner of its box, error / bound = {:.9f}\n", r.attained);
  fmt::print("\nwhere the equality ends (random layer, 4 bits)\n");
  for (const auto& d : r.departures) fmt::print("  {:<66} {:>5} of {} integers differ\n", d.change, d.different, d.of);
  fmt::print("\norders redistribute the pivots (random layer)\n  {:<36} {:>12} {:>26}\n", "decided", "log2 product",
             "sum, of rounding's");
  for (const auto& o : r.orders) fmt::print("  {:<36} {:>12.6f} {:>26.4f}\n", o.order, o.log2_pivot, o.pivot_sum);
  fmt::print("\nwhere double precision ends: error vectors against data space\n  {:<36} {:>12} {:>26}\n",
             "pairs of columns that agree to", "GPTQ", "nearest plane from H");
  for (const auto& p : r.precision)
    fmt::print("  {} digit{:<28} {:>12.0e} {:>26.0e}\n", p.digits, p.digits == 1 ? "" : "s", p.gptq, p.parameter_space);
  fmt::print("\nabsmax grids: error expected from second moments alone, and measured\n  {:>4} {:>24} {:>28}\n", "bits",
             "rounding", "nearest plane");
  for (const auto& p : r.predictions)
    fmt::print("  {:>4} {:>10.3e} {:>10.3e} {:>+5.0f} % {:>10.3e} {:>10.3e} {:>+5.0f} %\n", p.bits, p.rounding,
               p.rounding_measured, 100 * (p.rounding_measured / p.rounding - 1), p.nearest_plane,
               p.nearest_plane_measured, 100 * (p.nearest_plane_measured / p.nearest_plane - 1));
}

int run(const ProveOptions& options, bool quiet) {
  Console console(quiet);
  const auto result = prove(options, console);
  fmt::print("GPTQ is Babai's nearest plane: every algorithm as published, in double, on the same layers.\n");
  for (const auto& layer : result.layers) print_layer(layer);
  print_ends(result);
  fmt::print("\n{}\n", result.passed ? "All that must agree agrees." : "FAILED: see above.");
  return result.passed ? 0 : 3;
}

}  // namespace

void add_prove(CLI::App& program, Action& action) {
  auto* app = program.add_subcommand("prove", "run OBQ, GPTQ and nearest plane as published and compare every step");
  auto options = std::make_shared<ProveOptions>();
  auto quiet = std::make_shared<bool>(false);
  app->add_option("MODEL", options->model, "also on a layer of this model or store");
  app->add_option("--layer", options->layer, "name of that layer, such as model.layers.3.mlp.down_proj");
  app->add_option("--calib", options->calibration.files, "text for its inputs; without it the model writes its own");
  app->add_option("--samples", options->calibration.samples, "windows of text")->capture_default_str();
  app->add_option("--length", options->calibration.length, "tokens of a window")->capture_default_str();
  app->add_option("--rows", options->rows, "targets per layer")->capture_default_str();
  app->add_option("--columns", options->columns, "columns of the model's layer")->capture_default_str();
  app->add_option("--seed", options->seed, "seed of all random choices")->capture_default_str();
  app->add_flag("-q,--quiet", *quiet, "no progress");
  app->callback([&action, options, quiet] { action = [options, quiet] { return run(*options, *quiet); }; });
}

}  // namespace nearplane::cli
