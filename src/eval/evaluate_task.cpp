// Choices scored by their log-likelihood, streamed: the sequences of some questions go through the model block by
// block, then the vocabulary is met at the tokens that are asked for. Memory: activations of kBatchTokens tokens, some
// logits.
#include <cmath>
#include <limits>
#include <optional>

#include "base/check.h"
#include "base/process.h"
#include "base/threads.h"
#include "eval/runner.h"
#include "eval/score.h"
#include "eval/task.h"
#include "nearplane/evaluate.h"

namespace nearplane {
namespace {

// log p of the asked tokens of each sequence.
std::vector<double> likelihoods(const Runner& model, std::span<const ChoiceTokens> choices, const Observer& observer) {
  std::vector<Window> sequences;
  std::vector<std::int64_t> rows;  // of hidden states that predict an asked token
  std::vector<Token> labels;
  std::int64_t first = 0;
  for (const auto& choice : choices) {
    const auto inputs = std::ssize(choice.tokens) - 1;
    sequences.emplace_back(choice.tokens.begin(), choice.tokens.end() - 1);
    for (auto t = inputs - choice.asked; t < inputs; ++t) {
      rows.push_back(first + t);
      labels.push_back(choice.tokens[static_cast<std::size_t>(t + 1)]);
    }
    first += inputs;
  }
  const auto x = model.hidden(sequences, observer);
  std::vector<double> each(rows.size());
  const auto vocab = model.network.config().vocab;
  auto asked = Matrix<float>::uninitialized(kHeadTokens, x.cols()),
       logits = Matrix<float>::uninitialized(kHeadTokens, vocab);
  for (std::int64_t i0 = 0; i0 < std::ssize(rows); i0 += kHeadTokens) {
    const auto count = std::min(kHeadTokens, std::ssize(rows) - i0);
    for (std::int64_t i = 0; i < count; ++i)
      std::copy_n(x.row(rows[static_cast<std::size_t>(i0 + i)]), x.cols(), asked.row(i));
    model.head.logits(asked.view().rows_at(0, count), logits.view().rows_at(0, count));
    parallel_for(count, [&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i0 + i);
      each[at] =
          -score_token(std::span<const float>(logits.row(i), static_cast<std::size_t>(vocab)), {}, labels[at]).nll;
    });
  }
  std::vector<double> out;
  std::size_t at = 0;
  for (const auto& choice : choices) {
    double sum = 0;
    for (std::int64_t t = 0; t < choice.asked; ++t) sum += each[at++];
    out.push_back(sum);
  }
  return out;
}

// The answers of a model: the first of the likeliest choices, by the sum and by the sum for each character.
struct Answer {
  std::size_t plain, normalised;
};
Answer answer(const Question& question, std::span<const double> sums) {
  Answer best{0, 0};
  const auto by_length = [&](std::size_t i) { return sums[i] / static_cast<double>(characters(question.choices[i])); };
  for (std::size_t i = 1; i < sums.size(); ++i) {
    if (sums[i] > sums[best.plain]) best.plain = i;
    if (by_length(i) > by_length(best.normalised)) best.normalised = i;
  }
  return best;
}

struct Count {
  std::int64_t right = 0, right_normalised = 0;
  void add(const Question& question, const Answer& answer) {
    right += answer.plain == question.gold, right_normalised += answer.normalised == question.gold;
  }
};

// Of a share of n: the standard deviation of the sample over sqrt(n).
double standard_error(double share, std::int64_t n) {
  return n > 1 ? std::sqrt(share * (1 - share) / static_cast<double>(n - 1)) : std::numeric_limits<double>::quiet_NaN();
}

std::vector<ChoiceTokens> cut(const Runner& model, const Question& question, const std::filesystem::path& file) {
  std::vector<ChoiceTokens> out;
  for (const auto& choice : question.choices)
    out.push_back(cut_choice(*model.network.tokenizer, question.query, choice, model.network.config().max_position,
                             fmt::format("{}, line {}", file.string(), question.line)));
  return out;
}

}  // namespace

TaskResult evaluate_task(const std::filesystem::path& model_path, const TaskOptions& options, Observer& observer) {
  set_thread_count(options.threads);
  Stopwatch watch;
  auto questions = read_questions(options.file);
  if (options.limit > 0 && std::ssize(questions) > options.limit)
    questions.resize(static_cast<std::size_t>(options.limit));
  const Runner model(model_path, options.arithmetic);
  std::optional<Runner> reference;
  if (options.reference) {
    reference.emplace(*options.reference, options.arithmetic);
    check_same_vocabulary(model, *reference, model_path);
  }
  const auto total = std::ssize(questions);
  Count ours, theirs;
  std::int64_t same = 0;
  for (std::int64_t first = 0, end = 0; first < total; first = end) {
    std::vector<ChoiceTokens> choices;
    for (std::int64_t tokens = 0; end < total && (tokens == 0 || tokens < kBatchTokens); ++end)
      for (auto& choice : cut(model, questions[static_cast<std::size_t>(end)], options.file)) {
        tokens += std::ssize(choice.tokens);
        choices.push_back(std::move(choice));
      }
    const auto sums = likelihoods(model, choices, observer);
    const auto reference_sums = reference ? likelihoods(*reference, choices, observer) : std::vector<double>();
    std::size_t at = 0;
    for (auto q = first; q < end; ++q) {
      const auto& question = questions[static_cast<std::size_t>(q)];
      const auto n = question.choices.size();
      const auto mine = answer(question, std::span(sums).subspan(at, n));
      ours.add(question, mine);
      if (reference) {
        const auto other = answer(question, std::span(reference_sums).subspan(at, n));
        theirs.add(question, other);
        same += mine.normalised == other.normalised;
      }
      at += n;
    }
    observer.on_progress({"task", fmt::format("{} right so far", ours.right), end, total, -1,
                          watch.seconds() / static_cast<double>(end) * static_cast<double>(total - end),
                          resident_bytes()});
  }
  const auto share = [&](std::int64_t count) { return static_cast<double>(count) / static_cast<double>(total); };
  const auto nan = std::numeric_limits<double>::quiet_NaN();
  TaskResult result;
  result.questions = total;
  result.accuracy = share(ours.right), result.accuracy_error = standard_error(result.accuracy, total);
  result.normalised = share(ours.right_normalised), result.normalised_error = standard_error(result.normalised, total);
  result.reference_accuracy = reference ? share(theirs.right) : nan;
  result.reference_normalised = reference ? share(theirs.right_normalised) : nan;
  result.same_answers = reference ? share(same) : nan;
  result.seconds = watch.seconds();
  result.peak_memory = peak_resident_bytes();
  return result;
}

}  // namespace nearplane
