// The next token from logits.
// Problem: the steps of GenerateOptions, in the order written there.
// Sources: repetition penalty: Keskar et al., "CTRL", 2019, over prompt and reply as in transformers. Top-k: Fan,
// Lewis, Dauphin, ACL 2018. Top-p: Holtzman et al., ICLR 2020. Min-p: Nguyen et al., ICLR 2025. Cost: one exponential
// per token of the vocabulary; top-k is a selection, top-p sorts only what could be in it.
#pragma once

#include <span>
#include <vector>

#include "base/rng.h"
#include "nearplane/generate.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {

/// temperature 0: the largest logit (the smallest id among equals). Otherwise a draw from softmax(logits /
/// temperature), one uniform number of `rng` each.
Token sample(std::span<const float> logits, double temperature, Rng& rng);

/// One weight per token, proportional to its probability, 0 for those that top-k, top-p or min-p leave out. `seen`: the
/// tokens of the repetition penalty, all below the number of logits. options.temperature > 0. Error{numerical} if a
/// logit is NaN or infinite.
std::vector<double> token_weights(std::span<const float> logits, const GenerateOptions& options,
                                  std::span<const Token> seen);

/// The next token by all of `options`. With nothing but a temperature it is the draw above.
Token sample(std::span<const float> logits, const GenerateOptions& options, std::span<const Token> seen, Rng& rng);

}  // namespace nearplane
