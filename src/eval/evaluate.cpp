// Perplexity and distance from a reference, streamed: a few windows go through both models block by block, then the
// vocabulary is met a few tokens at a time. Memory: activations of kBatchTokens tokens per model, kHeadTokens logits.
#include "nearplane/evaluate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/check.h"
#include "base/process.h"
#include "base/threads.h"
#include "eval/runner.h"
#include "eval/score.h"
#include "eval/text.h"

namespace nearplane {
namespace {

class Totals {
 public:
  void add(std::span<const TokenScore> scores) {
    for (const auto& s : scores) {
      nll_ += s.nll, reference_nll_ += s.reference_nll;
      kl_.push_back(static_cast<float>(s.kl));
      kl_sum_ += s.kl;
      same_ += s.same_top1;
    }
  }
  double perplexity_so_far() const { return std::exp(nll_ / static_cast<double>(kl_.size())); }
  void write(EvaluateResult& out, bool with_reference) {
    const auto n = static_cast<double>(kl_.size());
    out.tokens = std::ssize(kl_);
    out.perplexity = std::exp(nll_ / n);
    if (!with_reference) {
      out.reference_perplexity = out.kl = out.kl_p99 = out.top1 = std::numeric_limits<double>::quiet_NaN();
      return;
    }
    out.reference_perplexity = std::exp(reference_nll_ / n);
    out.kl = kl_sum_ / n;
    out.top1 = static_cast<double>(same_) / n;
    const auto rank = static_cast<std::ptrdiff_t>(0.99 * (n - 1));
    std::nth_element(kl_.begin(), kl_.begin() + rank, kl_.end());
    out.kl_p99 = kl_[static_cast<std::size_t>(rank)];
  }

 private:
  double nll_ = 0, reference_nll_ = 0, kl_sum_ = 0;
  std::int64_t same_ = 0;
  std::vector<float> kl_;
};

// Scores of every predicted token of `windows`, given the hidden states of both models.
void score_windows(const Runner& model, const Runner* reference, std::span<const Window> windows,
                   MatrixView<const float> x, MatrixView<const float> reference_x, Totals& totals) {
  const auto vocab = model.network.config().vocab, length = std::ssize(windows.front());
  auto logits = Matrix<float>::uninitialized(kHeadTokens, vocab);
  auto reference_logits = Matrix<float>::uninitialized(reference ? kHeadTokens : 0, vocab);
  std::vector<TokenScore> scores;
  for (std::int64_t w = 0; w < std::ssize(windows); ++w) {
    for (std::int64_t t0 = 0; t0 + 1 < length; t0 += kHeadTokens) {
      const auto count = std::min(kHeadTokens, length - 1 - t0);
      model.head.logits(x.rows_at(w * length + t0, count), logits.view().rows_at(0, count));
      if (reference)
        reference->head.logits(reference_x.rows_at(w * length + t0, count), reference_logits.view().rows_at(0, count));
      scores.resize(static_cast<std::size_t>(count));
      parallel_for(count, [&](std::int64_t t) {
        const auto row = [&](Matrix<float>& m) {
          return std::span<const float>(m.row(t), m.rows() ? static_cast<std::size_t>(vocab) : 0);
        };
        scores[t] = score_token(row(logits), row(reference_logits), windows[w][t0 + t + 1]);
      });
      totals.add(scores);
    }
  }
}

// Of a store whose bits were chosen by it.
double predicted_kl_of(const std::filesystem::path& path) {
  const auto file = path / "record.json";
  const auto predicted = Store::is_store(path) && std::filesystem::exists(file)
                             ? json_find<double>(read_json(file), "predicted_kl", file.string())
                             : std::nullopt;
  return predicted && *predicted >= 0 ? *predicted : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

EvaluateResult evaluate(const std::filesystem::path& model_path, const EvaluateOptions& options, Observer& observer) {
  if (options.length < 2) fail_input("length", "a window of {} tokens predicts nothing", options.length);
  set_thread_count(options.threads);
  Stopwatch watch;
  const Runner model(model_path, options.arithmetic);
  std::optional<Runner> reference;
  if (options.reference) {
    reference.emplace(*options.reference, options.arithmetic);
    check_same_vocabulary(model, *reference, model_path);
  }
  const auto text = read_evaluation_text(options, *model.network.tokenizer);
  const auto total = std::ssize(text.windows);
  const auto step = std::max<std::int64_t>(1, kBatchTokens / options.length);
  Totals totals;
  for (std::int64_t first = 0; first < total; first += step) {
    const auto batch = std::span(text.windows).subspan(first, std::min(step, total - first));
    const auto x = model.hidden(batch, observer);
    const auto reference_x = reference ? reference->hidden(batch, observer) : Matrix<float>(0, 0);
    score_windows(model, reference ? &*reference : nullptr, batch, x.view(), reference_x.view(), totals);
    const auto done = first + std::ssize(batch);
    observer.on_progress({"evaluate", fmt::format("perplexity so far {:.3f}", totals.perplexity_so_far()), done, total,
                          -1, watch.seconds() / done * (total - done), resident_bytes()});
  }
  EvaluateResult result;
  totals.write(result, reference.has_value());
  result.predicted_kl = predicted_kl_of(model_path);
  result.windows = total;
  result.bits_per_weight = model.network.bits_per_weight();
  result.seconds = watch.seconds();
  result.peak_memory = peak_resident_bytes();
  result.text_bytes = text.bytes, result.text_lines = text.lines;
  result.text_carriage_returns = text.carriage_returns, result.text_tokens = text.tokens;
  return result;
}

}  // namespace nearplane
