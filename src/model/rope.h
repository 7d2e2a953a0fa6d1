// Rotary position embedding: how fast each pair of a head turns.
#pragma once

#include <vector>

#include "model/model.h"

namespace nearplane {

/// [head_dim / 2] radians per token: theta^(-2 i / head_dim), slowed down as `scaling` says. linear: all by its factor.
/// llama3: pairs that turn fewer than low_freq_factor times in the original context by the factor, pairs that turn more
/// than high_freq_factor times not at all, between them interpolated by turns.
std::vector<double> rope_frequencies(std::int64_t head_dim, double theta, const RopeScaling& scaling);

}  // namespace nearplane
