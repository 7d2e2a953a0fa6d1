// Output sensitivity: how much the model's prediction feels an error at each output of each linear layer.
// Problem: to second order, the KL divergence per token between the model and one with weights Q is
//   1/2 sum over layers and rows i of f_i (w_i - q_i)^T (H / T) (w_i - q_i),   f_i = E[g_i^2],
// g the gradient of log p(label) at the layer's output, the label drawn from the model's own prediction: the diagonal
// of the Fisher matrix at that output (errors in different rows and layers taken as independent). Method: one backward
// pass of activation gradients over a few windows; a token's g is the gradient of the sum over all tokens of its
// window, whose cross terms vanish in expectation because labels are drawn independently. Cost: three forward passes.
// Memory: the input of every block for kChunkTokens tokens (or one longer window), what backward.h states for one
// block, logits of a few tokens. Sums over tokens in double.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "calib/windows.h"
#include "runtime/network.h"

namespace nearplane {

struct SensitivityOptions {
  std::uint64_t seed = 0;  // of the labels
  Compute compute = Compute::f32;
};

/// f [out] of every linear layer of the blocks, by linear_name; rows in the order of the canonical weight.
using Sensitivity = std::map<std::string, std::vector<double>>;

/// f over all tokens of `windows`, one drawn label for each. Deterministic: the same bits for the same windows and
/// options, whatever the number of threads.
/// Error{bad_input} if there is no token or one outside the vocabulary; Error{numerical} naming block or layer, column
/// and token where activations or gradients stop being finite; Error{cancelled}.
Sensitivity output_sensitivity(const Network& network, std::span<const Window> windows,
                               const SensitivityOptions& options, Observer& observer);

/// The same with labels given: labels[w][t] is what window w is to predict after its token t.
/// Error{bad_input} also for labels that do not match the windows or lie outside the vocabulary.
Sensitivity output_sensitivity(const Network& network, std::span<const Window> windows, std::span<const Window> labels,
                               Compute compute, Observer& observer);

}  // namespace nearplane
