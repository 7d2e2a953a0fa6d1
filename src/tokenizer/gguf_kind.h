// What the names of pre-tokenizers in GGUF files stand for.
#pragma once

#include <span>
#include <string>

#include "base/json.h"

namespace nearplane {

struct GgufKind {
  std::string pre;                 // tokenizer.ggml.pre
  Json normalizer, pre_tokenizer;  // as in tokenizer.json
  bool ignore_merges = false;
  bool add_bos = false;  // where metadata do not say
};

/// The byte-level ones that are known, each as the published tokenizer.json of the models that carry it has it.
std::span<const GgufKind> gguf_kinds();

}  // namespace nearplane
