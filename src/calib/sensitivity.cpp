#include "calib/sensitivity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/check.h"
#include "base/process.h"
#include "base/rng.h"
#include "base/threads.h"
#include "transformer/backward.h"
#include "transformer/vector_ops.h"

namespace nearplane {
namespace {

constexpr std::int64_t kChunkTokens = 2048;  // whole windows that pass together; weights are decoded once for them
constexpr std::int64_t kHeadTokens = 256;    // logits of 256 x 49,152 are 50 MB
constexpr std::int64_t kRowsPerTask = 64;    // of summing squares

/// The label of one token. `weights` [vocab] is proportional to the model's prediction and sums to `total`.
using ChooseLabel =
    std::function<Token(std::int64_t window, std::int64_t position, std::span<const float> weights, double total)>;

// Every token has a generator of its own, so labels do not depend on how tokens are grouped.
Token draw_label(std::uint64_t seed, std::int64_t window, std::int64_t position, std::span<const float> weights,
                 double total) {
  const auto stream = Rng(Rng(seed).bits() + static_cast<std::uint64_t>(window)).bits();
  double left = Rng(stream + static_cast<std::uint64_t>(position)).uniform() * total;
  for (std::size_t i = 0; i < weights.size(); ++i)
    if ((left -= static_cast<double>(weights[i])) < 0) return static_cast<Token>(i);
  const auto most_likely = std::ranges::max_element(weights);  // rounding used up every weight
  return static_cast<Token>(most_likely - weights.begin());
}

// sums[i] += sum over tokens of g_i^2, g [T, out].
void add_squares(MatrixView<const float> g, std::vector<double>& sums) {
  parallel_for((g.cols + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    const auto begin = task * kRowsPerTask, end = std::min(g.cols, begin + kRowsPerTask);
    for (std::int64_t t = 0; t < g.rows; ++t)
      for (auto i = begin; i < end; ++i) {
        const auto v = static_cast<double>(g(t, i));
        sums[static_cast<std::size_t>(i)] += v * v;
      }
  });
}

class SensitivityPass {
 public:
  SensitivityPass(const Network& network, std::span<const Window> windows, Compute compute, ChooseLabel choose,
                  Observer& observer)
      : network_(network),
        config_(network.config()),
        windows_(windows),
        choose_(std::move(choose)),
        observer_(observer),
        head_(load_head(*network.weights, compute)) {
    for (std::int64_t i = 0; i < config_.layers; ++i) {
      blocks_.push_back(load_block(*network.weights, i, compute));
      auto& sums = sums_.emplace_back();
      for (const auto kind : kLinearKinds)
        sums[static_cast<std::size_t>(kind)].resize(static_cast<std::size_t>(linear_shape(config_, kind)[0]));
    }
    split_windows();
  }

  Sensitivity run() {
    for (std::size_t c = 0; c + 1 < chunks_.size(); ++c) {
      enter(chunks_[c], chunks_[c + 1]);
      forward();
      backward_from_labels();
      backward_through_blocks();
      first_token_ += std::ssize(places_);
    }
    Sensitivity out;
    for (std::int64_t i = 0; i < config_.layers; ++i)
      for (const auto kind : kLinearKinds) {
        auto& f = out[linear_name(i, kind)] = std::move(sums_of(i, kind));
        for (auto& v : f) v /= static_cast<double>(first_token_);
      }
    return out;
  }

 private:
  struct Place {
    std::int64_t window, position;
  };

  // chunks_: the window each chunk begins with, and the end.
  void split_windows() {
    std::int64_t count = 0, most = 0;
    chunks_.push_back(0);
    for (std::size_t w = 0; w < windows_.size(); ++w) {
      const auto length = std::ssize(windows_[w]);
      if (count > 0 && count + length > kChunkTokens) chunks_.push_back(w), count = 0;
      most = std::max(most, count += length);
    }
    chunks_.push_back(windows_.size());
    if (most == 0) fail_input("calibration", "there is no token to measure sensitivity with");
    for (std::int64_t i = 0; i <= config_.layers; ++i)
      inputs_.push_back(Matrix<float>::uninitialized(most, config_.hidden));
    gradient_ = Matrix<float>::uninitialized(most, config_.hidden);
  }

  void enter(std::size_t first_window, std::size_t end_window) {
    lengths_.clear(), places_.clear(), tokens_.clear();
    for (auto w = first_window; w < end_window; ++w) {
      const auto& window = windows_[w];
      lengths_.push_back(std::ssize(window));
      tokens_.insert(tokens_.end(), window.begin(), window.end());
      for (std::int64_t t = 0; t < std::ssize(window); ++t) places_.push_back({static_cast<std::int64_t>(w), t});
    }
  }

  /// x [T, d], input of block i; of the head for i = layers.
  MatrixView<float> input(std::int64_t i) {
    return inputs_[static_cast<std::size_t>(i)].view().rows_at(0, std::ssize(places_));
  }
  std::vector<double>& sums_of(std::int64_t block, LinearKind kind) {
    return sums_[static_cast<std::size_t>(block)][static_cast<std::size_t>(kind)];
  }

  void forward() {
    embed(*network_.weights, tokens_, input(0));
    for (std::int64_t i = 0; i < config_.layers; ++i) {
      std::copy_n(input(i).data, std::ssize(places_) * config_.hidden, input(i + 1).data);
      forward_block(blocks_[static_cast<std::size_t>(i)], config_, lengths_, input(i + 1), {});
      finished_block("forward", i);
    }
  }

  // gradient_ = gradient of the sum of log p(label) at the input of the head, a few tokens of logits at a time.
  void backward_from_labels() {
    if (logits_.size() == 0) logits_ = Matrix<float>::uninitialized(kHeadTokens, config_.vocab);
    const auto x = input(config_.layers);
    for (std::int64_t t0 = 0; t0 < x.rows; t0 += kHeadTokens) {
      const auto count = std::min(kHeadTokens, x.rows - t0);
      const auto logits = logits_.view().rows_at(0, count);
      head_.logits(x.rows_at(t0, count), logits);
      parallel_for(count, [&](std::int64_t t) { to_gradient(t0 + t, logits.row(t)); });
      backward_head(head_, x.rows_at(t0, count), logits, gradient_.view().rows_at(t0, count));
    }
  }

  // Logits of token t of the chunk -> gradient of its log p(label): one at the label, minus the softmax.
  void to_gradient(std::int64_t t, float* logits) {
    exp_shifted(logits, config_.vocab, max_of(logits, config_.vocab));
    const double total = std::accumulate(logits, logits + config_.vocab, 0.0);
    if (!std::isfinite(total)) fail_non_finite_activation(t);
    const auto& place = places_[static_cast<std::size_t>(t)];
    const auto label = choose_(place.window, place.position, {logits, static_cast<std::size_t>(config_.vocab)}, total);
    scale(logits, config_.vocab, static_cast<float>(-1.0 / total));
    logits[label] += 1.0f;
  }

  void backward_through_blocks() {
    const auto dx = gradient_.view().rows_at(0, std::ssize(places_));
    for (auto i = config_.layers - 1; i >= 0; --i) {
      const auto visit = [&](LinearKind kind, MatrixView<const float> g) {
        auto& sums = sums_of(i, kind);
        add_squares(g, sums);
        if (!std::ranges::all_of(sums, [](double v) { return std::isfinite(v); }))
          fail_non_finite_gradient(g, linear_name(i, kind));
      };
      backward_block(blocks_[static_cast<std::size_t>(i)], config_, lengths_, input(i), dx, visit);
      finished_block("backward", i);
    }
  }

  // A value that is not finite stays in the residual stream of its token: the first block that shows one made it.
  [[noreturn]] void fail_non_finite_activation(std::int64_t t) {
    for (std::int64_t i = 0; i < config_.layers; ++i)
      for (std::int64_t j = 0; j < config_.hidden; ++j)
        if (const float v = input(i + 1)(t, j); !std::isfinite(v))
          throw Error(ErrorCode::numerical,
                      fmt::format("output column {} is {} at calibration token {}", j, v, first_token_ + t),
                      fmt::format("model.layers.{}", i));
    throw Error(ErrorCode::numerical, fmt::format("logits are not finite at calibration token {}", first_token_ + t),
                "output head");
  }
  [[noreturn]] void fail_non_finite_gradient(MatrixView<const float> g, const std::string& where) const {
    for (std::int64_t t = 0; t < g.rows; ++t)
      for (std::int64_t i = 0; i < g.cols; ++i)
        if (!std::isfinite(g(t, i)))
          throw Error(ErrorCode::numerical,
                      fmt::format("gradient at output {} is {} at calibration token {}", i, g(t, i), first_token_ + t),
                      where);
    throw Error(ErrorCode::numerical, "the sum of squared gradients overflows", where);
  }

  void finished_block(const char* direction, std::int64_t block) {
    ++done_;
    const auto total = 2 * config_.layers * (std::ssize(chunks_) - 1);
    observer_.on_progress({"sensitivity", fmt::format("{} through block {}", direction, block), done_, total, -1,
                           watch_.seconds() / static_cast<double>(done_) * static_cast<double>(total - done_),
                           resident_bytes()});
    if (observer_.cancelled()) throw Error(ErrorCode::cancelled, "stopped while measuring output sensitivity");
  }

  const Network& network_;
  const ModelConfig& config_;
  std::span<const Window> windows_;
  ChooseLabel choose_;
  Observer& observer_;
  Stopwatch watch_;
  Head head_;
  std::vector<Block> blocks_;
  std::vector<std::array<std::vector<double>, kLinearKinds.size()>> sums_;  // by block and kind: [out]
  std::vector<std::size_t> chunks_;
  std::vector<Matrix<float>> inputs_;  // by block, and of the head: [tokens of the largest chunk, d]
  Matrix<float> gradient_, logits_;    // [tokens of the largest chunk, d], [kHeadTokens, vocab]
  std::int64_t done_ = 0, first_token_ = 0;
  // of the chunk that is passing:
  std::vector<std::int64_t> lengths_;
  std::vector<Token> tokens_;
  std::vector<Place> places_;
};

void check_labels(std::span<const Window> windows, std::span<const Window> labels, std::int64_t vocab) {
  if (windows.size() != labels.size())
    fail_input("labels", "there are {} windows of them for {} windows of tokens", labels.size(), windows.size());
  for (std::size_t w = 0; w < windows.size(); ++w) {
    if (windows[w].size() != labels[w].size())
      fail_input("labels", "window {} has {} of them for {} tokens", w, labels[w].size(), windows[w].size());
    for (const auto label : labels[w])
      if (label < 0 || label >= vocab)
        fail_input("labels", "id {} in window {} is outside the vocabulary of {}", label, w, vocab);
  }
}

}  // namespace

Sensitivity output_sensitivity(const Network& network, std::span<const Window> windows,
                               const SensitivityOptions& options, Observer& observer) {
  const auto choose = [seed = options.seed](auto... place_and_prediction) {
    return draw_label(seed, place_and_prediction...);
  };
  return SensitivityPass(network, windows, options.compute, choose, observer).run();
}

Sensitivity output_sensitivity(const Network& network, std::span<const Window> windows, std::span<const Window> labels,
                               Compute compute, Observer& observer) {
  check_labels(windows, labels, network.config().vocab);
  const auto choose = [labels](std::int64_t window, std::int64_t position, std::span<const float>, double) {
    return labels[static_cast<std::size_t>(window)][static_cast<std::size_t>(position)];
  };
  return SensitivityPass(network, windows, compute, choose, observer).run();
}

}  // namespace nearplane
