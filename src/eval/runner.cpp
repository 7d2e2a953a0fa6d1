#include "eval/runner.h"

#include "base/check.h"

namespace nearplane {

Runner::Runner(const std::filesystem::path& path, Arithmetic arithmetic)
    : network(open_network(path)),
      head(load_head(*network.weights, compute_of(arithmetic))),
      compute(compute_of(arithmetic)) {}

Matrix<float> Runner::hidden(std::span<const Window> sequences, const Observer& observer) const {
  const auto& config = network.config();
  std::vector<std::int64_t> lengths;
  Window tokens;
  for (const auto& sequence : sequences) {
    lengths.push_back(std::ssize(sequence));
    tokens.insert(tokens.end(), sequence.begin(), sequence.end());
  }
  auto x = Matrix<float>::uninitialized(std::ssize(tokens), config.hidden);
  embed(*network.weights, tokens, x.view());
  for (std::int64_t i = 0; i < config.layers; ++i) {
    if (observer.cancelled()) throw Error(ErrorCode::cancelled, "evaluation stopped");
    forward_block(load_block(*network.weights, i, compute), config, lengths, x.view(), {});
  }
  return x;
}

void check_same_vocabulary(const Runner& model, const Runner& reference, const std::filesystem::path& path) {
  const auto ours = model.network.config().vocab, theirs = reference.network.config().vocab;
  if (ours != theirs)
    fail_input(path.string(), "has {} tokens, the reference {}: the two cannot be compared", ours, theirs);
}

}  // namespace nearplane
