#include "pipeline/options.h"

#include "base/check.h"
#include "quant/quantize_coded.h"
#include "quant/quantize_linear.h"
#include "quant/quantize_sparse.h"

namespace nearplane {

void check_options(const QuantizeOptions& options) {
  if (options.arithmetic != Arithmetic::f32 && options.arithmetic != Arithmetic::bf16)
    fail_input("arithmetic", "calibration takes f32 or bf16");
  const auto& grid = options.grid;
  if (grid.group < 0) fail_input("group", "{} is negative (0 = one scale per row)", grid.group);
  if (!(grid.damping > 0) || grid.damping > 1) fail_input("damping", "{} is outside (0, 1]", grid.damping);
  if (grid.method == Method::ssqr)
    check_sparse(grid, "options");
  else
    is_coded(grid.method) ? check_coded(grid, "options") : check_search(grid, "options");
  if (!(options.drift.strength >= 0) || options.drift.strength > 1)
    fail_input("drift", "a strength of {} is outside [0, 1]", options.drift.strength);
  if (!(options.mix >= 0) || options.mix > 16) fail_input("mix", "{} bits per weight are no target", options.mix);
  if (options.mix > 0 && !is_linear(grid.method))
    fail_input("mix", "chooses bits of integer codes; all other methods take --bits");
  if (options.slope && !is_coded(grid.method))
    fail_input("slope", "shares the bits of entropy-coded methods; integer codes take --mix");
  if (options.embedding_bits != 0 && options.embedding_bits != 8)
    fail_input("embedding-bits", "{} is neither 8 nor 0 (kept as they are)", options.embedding_bits);
  const auto& calibration = options.calibration;
  if (calibration.samples < 1) fail_input("samples", "{} windows are none", calibration.samples);
  if (calibration.length < 2) fail_input("length", "a window of {} tokens is too short", calibration.length);
}

bool needs_calibration(const QuantizeOptions& options) {
  return options.grid.method != Method::rounding || options.grid.scales != ScaleSearch::minmax ||
         options.drift.wanted() || options.mix > 0;
}

void check_groups(const ModelConfig& config, const GridOptions& grid) {
  for (const auto kind : kLinearKinds) {
    const auto cols = linear_shape(config, kind)[1];
    if (grid.group > 0 && (is_linear(grid.method) || grid.method == Method::spqr) && cols % grid.group != 0)
      fail_input("group", "groups of {} do not divide the {} inputs of {}", grid.group, cols, linear_name(0, kind));
  }
}

void check_length(const ModelConfig& config, const CalibrationOptions& calibration) {
  if (config.max_position > 0 && calibration.length > config.max_position)
    fail_input("length", "windows of {} tokens exceed the model's context of {}", calibration.length,
               config.max_position);
}

}  // namespace nearplane
