#include "eval/text.h"

#include <algorithm>

#include "base/atomic_file.h"
#include "base/check.h"
#include "base/rng.h"

namespace nearplane {
namespace {

constexpr std::int64_t kC4Windows = 256;  // what the papers draw

// Lines of the raw file are the documents of the data set: a blank line (" ") is the document "", every other keeps its
// own line break.
std::string join_wikitext(std::string_view raw) {
  std::string joined;
  bool first = true;
  while (!raw.empty()) {
    const auto end = std::min(raw.find('\n'), raw.size() - 1) + 1;
    const auto line = raw.substr(0, end);
    raw.remove_prefix(end);
    if (!first) joined += "\n\n";
    first = false;
    if (line.find_first_not_of(" \t\r\n") != std::string_view::npos) joined += line;
  }
  return joined;
}

void draw_c4(const EvaluateOptions& options, const Tokenizer& tokenizer, std::vector<std::string> documents,
             EvaluationText& out) {
  Rng rng(options.seed);
  const auto wanted = static_cast<std::size_t>(options.windows > 0 ? options.windows : kC4Windows);
  for (std::size_t i = 0; i < documents.size() && out.windows.size() < wanted; ++i) {
    std::swap(documents[i], documents[i + rng.below(documents.size() - i)]);
    const auto tokens = tokenizer.encode(documents[i], /*add_special=*/false);
    out.tokens += std::ssize(tokens);
    if (std::ssize(tokens) <= options.length) continue;
    const auto start = static_cast<std::int64_t>(rng.below(tokens.size() - static_cast<std::size_t>(options.length)));
    out.windows.emplace_back(tokens.begin() + start, tokens.begin() + start + options.length);
  }
  if (out.windows.empty())
    fail_input(options.text.string(), "no document is longer than one window of {} tokens", options.length);
}

}  // namespace

EvaluationText read_evaluation_text(const EvaluateOptions& options, const Tokenizer& tokenizer) {
  const auto where = options.text.string();
  EvaluationText out;
  std::string text = read_file(options.text);
  if (text.empty()) fail_input(where, "holds no text");
  out.bytes = std::ssize(text);
  out.lines = std::ranges::count(text, '\n');
  out.carriage_returns = std::ranges::count(text, '\r');
  if (options.protocol == Protocol::c4) {
    if (options.text.extension() != ".jsonl") fail_input(where, "protocol c4 reads JSON lines (a .jsonl file)");
    draw_c4(options, tokenizer, read_documents(options.text), out);
    return out;
  }
  if (options.protocol == Protocol::wikitext2) text = join_wikitext(text);
  const auto tokens = tokenizer.encode(text, /*add_special=*/false);
  out.tokens = std::ssize(tokens);
  auto count = out.tokens / options.length;
  if (count == 0) fail_input(where, "{} tokens are less than one window of {}", out.tokens, options.length);
  if (options.windows > 0) count = std::min(count, options.windows);
  for (std::int64_t w = 0; w < count; ++w)
    out.windows.emplace_back(tokens.begin() + w * options.length, tokens.begin() + (w + 1) * options.length);
  return out;
}

}  // namespace nearplane
