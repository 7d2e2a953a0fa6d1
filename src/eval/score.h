// What two rows of logits say about one token. Problem: log-likelihood of the label, KL(p || q) with p the reference.
// Sums over the vocabulary in double.
#pragma once

#include <span>

#include "tokenizer/tokenizer.h"

namespace nearplane {

struct TokenScore {
  double nll = 0;            // -log q(label), nats
  double reference_nll = 0;  // -log p(label)
  double kl = 0;             // sum p (log p - log q) >= 0
  bool same_top1 = false;    // argmax p == argmax q (smallest id among equals)
};

/// Logits of the model and, if not empty, of the reference, each [vocab].
TokenScore score_token(std::span<const float> logits, std::span<const float> reference, Token label);

}  // namespace nearplane
