// What must hold of the options of a quantization before it starts, or is planned.
#pragma once

#include "model/model.h"
#include "nearplane/quantize.h"

namespace nearplane {

/// Error{bad_input} naming the option.
void check_options(const QuantizeOptions& options);
/// Groups divide every layer's inputs: found before the work starts, not at layer 6. Error{bad_input}.
void check_groups(const ModelConfig& config, const GridOptions& grid);
/// Windows fit the model's context. Error{bad_input}.
void check_length(const ModelConfig& config, const CalibrationOptions& calibration);

bool needs_calibration(const QuantizeOptions& options);

}  // namespace nearplane
