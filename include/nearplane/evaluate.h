// Measure a model or store on text: perplexity, and distance from a reference model token by token.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "nearplane/observer.h"
#include "nearplane/quantize.h"

namespace nearplane {

/// Which windows are cut from the text.
enum class Protocol {
  plain,      // the file as it is, one text, windows in sequence
  wikitext2,  // a raw WikiText file: documents (lines) joined by two line breaks, windows in sequence
  c4,         // JSON lines: documents drawn with a seed, one random window from each that is long enough
};

struct EvaluateOptions {
  std::filesystem::path text;
  std::optional<std::filesystem::path> reference;  // model or store to compare with
  Protocol protocol = Protocol::plain;
  std::int64_t length = 2048;  // tokens of a window; windows do not overlap
  std::int64_t windows = 0;    // 0 = as many as the text has (c4: 256)
  std::uint64_t seed = 0;      // c4 only
  Arithmetic arithmetic = Arithmetic::f32;
  int threads = 0;
};

struct EvaluateResult {
  double perplexity = 0;  // exp(mean negative log-likelihood); every window predicts its tokens 2..length
  // Against the reference, NaN without one. KL(reference || model) in nats per token.
  double reference_perplexity = 0, kl = 0, kl_p99 = 0, top1 = 0;
  double predicted_kl = 0;  // what the store's record says was predicted, NaN if nothing
  std::int64_t tokens = 0;  // predicted tokens
  std::int64_t windows = 0;
  double bits_per_weight = 0;  // of the linear layers, from the file
  double seconds = 0;
  std::int64_t peak_memory = 0;
  // What the text was: bytes read, line breaks ("\n") and carriage returns in them, tokens in all.
  std::int64_t text_bytes = 0, text_lines = 0, text_carriage_returns = 0, text_tokens = 0;
};

/// Error{bad_input} if the text is empty or shorter than one window, or the two models do not share a vocabulary.
EvaluateResult evaluate(const std::filesystem::path& model, const EvaluateOptions& options, Observer& observer);

struct TaskOptions {
  std::filesystem::path file;  // JSON lines {"query": text, "choices": [text, ...], "gold": index}
  std::optional<std::filesystem::path> reference;
  std::int64_t limit = 0;  // questions from the first on; 0 = all
  Arithmetic arithmetic = Arithmetic::f32;
  int threads = 0;
};

/// Shares of questions, as lm-evaluation-harness counts them: the choice with the largest log-likelihood (acc), and
/// with the largest for each character (acc_norm).
struct TaskResult {
  std::int64_t questions = 0;
  double accuracy = 0, accuracy_error = 0;      // acc and its standard error, NaN for one question
  double normalised = 0, normalised_error = 0;  // acc_norm
  // Of the reference, NaN without one; same_answers: where both choose the same by acc_norm.
  double reference_accuracy = 0, reference_normalised = 0, same_answers = 0;
  double seconds = 0;
  std::int64_t peak_memory = 0;
};

/// Error{bad_input} naming file and line for what is no question, or longer than the model's context.
TaskResult evaluate_task(const std::filesystem::path& model, const TaskOptions& options, Observer& observer);

}  // namespace nearplane
