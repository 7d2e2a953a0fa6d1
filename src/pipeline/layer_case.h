// A small layer with its inputs: what `prove` decides with every algorithm. Synthetic, or a part of a model's layer.
#pragma once

#include <string>

#include "nearplane/prove.h"
#include "tensor/matrix.h"

namespace nearplane {

struct LayerCase {
  std::string name;
  Matrix<double> x;  // [T, n] inputs, columns in the order in which they are decided, damping as further rows
  Matrix<float> w;   // [m, n]
};

/// Inputs with a common part and sizes up to 20 apart, Gaussian weights, damping 0.01.
LayerCase random_case(std::int64_t rows, std::int64_t columns, std::uint64_t seed);

/// Pairs of columns that agree to `digits` digits, of one size, without damping: badly conditioned.
LayerCase paired_case(std::int64_t rows, std::int64_t columns, int digits, std::uint64_t seed);

/// The first options.rows outputs and options.columns inputs of a layer, in act-order, its inputs from
/// options.calibration with nothing quantized before it, damping 0.01. Errors of prove().
LayerCase model_case(const ProveOptions& options, Observer& observer);

}  // namespace nearplane
