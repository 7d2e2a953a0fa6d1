#include "calib/self_written.h"

#include <algorithm>

#include "base/check.h"
#include "base/process.h"
#include "runtime/sampler.h"

namespace nearplane {
namespace {

constexpr std::int64_t kTextLength = 512;  // a text of one go; later tokens would only repeat its topic
constexpr std::int64_t kCacheBytes = std::int64_t{768} << 20;  // keys and values of all texts written at a time

// Writes texts [first, first + count), each of `length` tokens, into `texts`. Every text has a generator of its own, so
// the result does not depend on how many are written at a time.
void write_texts(const Network& network, const std::vector<Block>& blocks, const Head& head, std::uint64_t seed,
                 std::int64_t first, std::span<Window> texts, std::int64_t length) {
  const auto& config = network.config();
  const auto count = std::ssize(texts);
  std::vector<KvCache> caches;
  std::vector<Rng> rngs;
  const Token start = static_cast<Token>(config.bos_token ? *config.bos_token : config.eos_tokens.at(0));
  for (std::int64_t i = 0; i < count; ++i) {
    caches.emplace_back(config, length);
    rngs.emplace_back(Rng(seed ^ (0x9e3779b97f4a7c15ull * static_cast<std::uint64_t>(first + i + 1))).bits());
    texts[i].assign(1, start);
  }
  const std::vector<std::int64_t> lengths(static_cast<std::size_t>(count), 1);
  std::vector<Token> last(static_cast<std::size_t>(count));
  Matrix<float> x(count, config.hidden), logits(count, config.vocab);
  for (std::int64_t position = 1; position < length; ++position) {
    for (std::int64_t i = 0; i < count; ++i) last[i] = texts[i].back();
    embed(*network.weights, last, x.view());
    for (const auto& block : blocks) forward_block(block, config, lengths, x.view(), caches);
    for (auto& cache : caches) cache.advance(1);
    head.logits(x.view(), logits.view());
    for (std::int64_t i = 0; i < count; ++i)
      texts[i].push_back(sample({logits.row(i), static_cast<std::size_t>(config.vocab)}, 1.0, rngs[i]));
  }
}

}  // namespace

WritingPlan writing_plan(const ModelConfig& config, const CalibrationOptions& options) {
  WritingPlan plan;
  plan.length = std::min(options.length, kTextLength);
  plan.texts = options.samples * ((options.length + plan.length - 1) / plan.length);
  const auto cache = 2 * 4 * plan.length * config.layers * config.kv_heads * config.head_dim;
  plan.at_a_time = std::min(plan.texts, std::clamp<std::int64_t>(kCacheBytes / cache, 1, 64));
  plan.cache_bytes = plan.at_a_time * cache;
  return plan;
}

std::vector<Window> write_windows(const Network& network, const CalibrationOptions& options, Compute compute,
                                  Observer& observer, std::vector<Window> texts,
                                  const std::function<void(std::int64_t, std::span<const Window>)>& keep) {
  const auto& config = network.config();
  if (!config.bos_token && config.eos_tokens.empty())
    fail_input("calibration", "the model names no beginning- or end-of-text token to start its own text from");
  const auto [total, length, step, unused] = writing_plan(config, options);
  const auto known = std::ssize(texts), per_window = total / options.samples;
  std::vector<Block> blocks;
  Head head;
  if (known < total) {
    for (std::int64_t i = 0; i < config.layers; ++i) blocks.push_back(load_block(*network.weights, i, compute));
    head = load_head(*network.weights, compute);
  }
  texts.resize(static_cast<std::size_t>(total));
  Stopwatch watch;
  for (std::int64_t first = known; first < total; first += step) {
    if (observer.cancelled()) throw Error(ErrorCode::cancelled, "stopped while writing calibration text");
    const auto count = std::min(step, total - first);
    const auto batch = std::span(texts).subspan(first, count);
    write_texts(network, blocks, head, options.seed, first, batch, length);
    if (keep) keep(first, batch);
    const auto done = first + count;
    observer.on_progress({"write calibration text", fmt::format("{} texts of {} tokens", done, length), done, total, -1,
                          watch.seconds() / static_cast<double>(done - known) * static_cast<double>(total - done),
                          resident_bytes()});
  }
  trim_memory();
  std::vector<Window> windows(static_cast<std::size_t>(options.samples));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    auto& window = windows[i / static_cast<std::size_t>(per_window)];
    window.insert(window.end(), texts[i].begin(), texts[i].end());
  }
  for (auto& window : windows) window.resize(static_cast<std::size_t>(options.length));
  return windows;
}

}  // namespace nearplane
