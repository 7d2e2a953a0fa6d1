// The next token from logits.
#pragma once

#include <span>

#include "base/rng.h"
#include "tokenizer/tokenizer.h"

namespace nearplane {

/// temperature 0: the largest logit (the smallest id among equals). Otherwise a draw from softmax(logits /
/// temperature), one uniform number of `rng` each.
Token sample(std::span<const float> logits, double temperature, Rng& rng);

}  // namespace nearplane
