// Evaluation text -> windows, by the protocols the papers name.
#pragma once

#include "calib/windows.h"
#include "nearplane/evaluate.h"

namespace nearplane {

struct EvaluationText {
  std::vector<Window> windows;
  std::int64_t bytes = 0, lines = 0, carriage_returns = 0, tokens = 0;
};

/// plain: the file as one text. wikitext2: a raw WikiText file, each line a document, empty where the line is blank,
/// joined by two line breaks (the protocol of the GPTQ papers). Both: windows in sequence, a tail shorter than a window
/// is left out, the first options.windows of them. c4: JSON lines; documents drawn with the seed until options.windows
/// (256 by default) are longer than a window, one window at a random place of each.
/// Error{bad_input} for empty text, text shorter than one window, or a c4 file with no document that is long enough.
EvaluationText read_evaluation_text(const EvaluateOptions& options, const Tokenizer& tokenizer);

}  // namespace nearplane
