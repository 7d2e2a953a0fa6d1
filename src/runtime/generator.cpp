// Text generation for the public Generator: prefill, then one token at a time, text handed on as whole UTF-8
// characters.
#include <algorithm>

#include "base/check.h"
#include "base/process.h"
#include "base/threads.h"
#include "nearplane/generate.h"
#include "runtime/network.h"
#include "runtime/sampler.h"

namespace nearplane {
namespace {

// Length of the longest prefix of `text` that does not end inside a UTF-8 character.
std::size_t whole_characters(std::string_view text) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if (byte < 0x80) return text.size();
    if (byte >= 0xc0) {
      const std::size_t need = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return need > back ? text.size() - back : text.size();
    }
  }
  return text.size();
}

}  // namespace

struct Generator::State {
  Network network;
  std::vector<Block> blocks;
  Head head;

  // Logits of the last of `tokens`, which continue what the cache holds.
  std::vector<float> step(std::span<const Token> tokens, KvCache& cache) const {
    const auto& config = network.config();
    const auto count = static_cast<std::int64_t>(tokens.size());
    Matrix<float> x(count, config.hidden);
    embed(*network.weights, tokens, x.view());
    const std::array lengths{count};
    for (const auto& block : blocks) forward_block(block, config, lengths, x.view(), {&cache, 1});
    cache.advance(count);
    std::vector<float> logits(static_cast<std::size_t>(config.vocab));
    head.logits(x.view().rows_at(count - 1, 1), {logits.data(), 1, config.vocab, config.vocab});
    return logits;
  }
};

Generator::Generator(const std::filesystem::path& model, Arithmetic arithmetic, int threads)
    : state_(std::make_unique<State>()) {
  set_thread_count(threads);
  state_->network = open_network(model);
  for (std::int64_t i = 0; i < state_->network.config().layers; ++i)
    state_->blocks.push_back(load_block(*state_->network.weights, i, compute_of(arithmetic)));
  state_->head = load_head(*state_->network.weights, compute_of(arithmetic));
}

Generator::~Generator() = default;

GenerateResult Generator::generate(std::string_view prompt, const GenerateOptions& options,
                                   const std::function<bool(std::string_view)>& on_text) {
  const auto& config = state_->network.config();
  auto tokens = state_->network.tokenizer->encode(prompt, /*add_special=*/true);
  if (tokens.empty() && config.bos_token) tokens.push_back(static_cast<Token>(*config.bos_token));
  if (tokens.empty()) fail_input("prompt", "is empty, and the model has no beginning-of-text token to start from");
  GenerateResult result;
  result.prompt_tokens = std::ssize(tokens);
  const auto longest = result.prompt_tokens + options.tokens;
  if (config.max_position > 0 && longest > config.max_position)
    fail_input("prompt", "{} prompt tokens and {} new ones exceed the model's context of {}", result.prompt_tokens,
               options.tokens, config.max_position);

  KvCache cache(config, longest);
  Rng rng(options.seed);
  Stopwatch watch;
  auto logits = state_->step(tokens, cache);
  result.prompt_seconds = watch.seconds();
  std::vector<Token> written;
  watch = {};
  while (result.tokens < options.tokens) {
    const Token next = sample(logits, options.temperature, rng);
    ++result.tokens;
    if (std::ranges::find(config.eos_tokens, next) != config.eos_tokens.end()) break;
    written.push_back(next);
    const auto text = state_->network.tokenizer->decode(written, /*skip_special=*/true);
    const auto ready = whole_characters(text);
    if (ready > result.text.size()) {
      const auto fresh = std::string_view(text).substr(result.text.size(), ready - result.text.size());
      result.text = text.substr(0, ready);
      if (!on_text(fresh)) break;
    }
    if (result.tokens < options.tokens) logits = state_->step(std::array{next}, cache);
  }
  result.seconds = watch.seconds();
  return result;
}

}  // namespace nearplane
