// The public Generator and Conversation: the prompt in one go, then one token at a time.
#include <algorithm>

#include "base/check.h"
#include "base/process.h"
#include "base/threads.h"
#include "nearplane/generate.h"
#include "runtime/chat_template.h"
#include "runtime/network.h"
#include "runtime/sampler.h"
#include "runtime/text_stream.h"
#include "tokenizer/utf8.h"

namespace nearplane {
namespace {

// The end-of-sequence tokens of config.json and of generation_config.json, which for chat models often has more.
std::vector<Token> end_tokens_of(const ModelConfig& config, const std::filesystem::path& model) {
  std::vector<std::int64_t> ids = config.eos_tokens;
  if (const auto path = model / "generation_config.json"; exists(path)) {
    const auto generation = read_json(path);
    if (!generation.is_object()) fail_input(path.string(), "expected a JSON object");
    const auto it = generation.find("eos_token_id");
    if (it != generation.end() && it->is_array())
      for (const auto id : json_get<std::vector<std::int64_t>>(generation, "eos_token_id", path.string()))
        ids.push_back(id);
    else if (const auto id = json_find<std::int64_t>(generation, "eos_token_id", path.string()))
      ids.push_back(*id);
  }
  std::vector<Token> out;
  for (const auto id : ids)
    if (id >= 0 && id < config.vocab) out.push_back(static_cast<Token>(id));
  return out;
}

void require_utf8(const char* what, std::string_view text) {
  if (const auto at = find_invalid_utf8(text); at != text.npos)
    fail_input(what, "is not valid UTF-8 at byte {} of {}", at, text.size());
}

// A sequence the model has seen: its tokens and their keys and values.
struct Sequence {
  std::vector<Token> tokens;
  KvCache cache;
};

}  // namespace

struct Generator::State {
  Network network;
  std::vector<Block> blocks;
  Head head;
  std::filesystem::path path;
  std::vector<Token> end_tokens;

  // Logits of the last of `tokens`, which continue the sequence.
  std::vector<float> step(std::span<const Token> tokens, Sequence& sequence) const {
    const auto& config = network.config();
    const auto count = static_cast<std::int64_t>(tokens.size());
    Matrix<float> x(count, config.hidden);
    embed(*network.weights, tokens, x.view());
    const std::array lengths{count};
    for (const auto& block : blocks) forward_block(block, config, lengths, x.view(), {&sequence.cache, 1});
    sequence.cache.advance(count);
    sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.end());
    std::vector<float> logits(static_cast<std::size_t>(config.vocab));
    head.logits(x.view().rows_at(count - 1, 1), {logits.data(), 1, config.vocab, config.vocab});
    return logits;
  }

  bool fits(std::span<const Token> prompt, const GenerateOptions& options) const {
    const auto most = network.config().max_position;
    return most <= 0 || std::ssize(prompt) + options.tokens <= most;
  }
  void require_fit(std::span<const Token> prompt, const GenerateOptions& options) const {
    if (!fits(prompt, options))
      fail_input("prompt", "{} prompt tokens and {} new ones exceed the model's context of {}", prompt.size(),
                 options.tokens, network.config().max_position);
  }

  // Logits after the whole prompt. What the sequence shares with its front is not computed again; the last token always
  // is, for its logits.
  std::vector<float> read_prompt(std::span<const Token> prompt, std::int64_t capacity, Sequence& sequence,
                                 GenerateResult& result) const {
    const auto same = std::ranges::mismatch(prompt.first(prompt.size() - 1), sequence.tokens).in1 - prompt.begin();
    sequence.cache.restart_at(same, capacity);
    sequence.tokens.resize(static_cast<std::size_t>(same));
    result.prompt_tokens = std::ssize(prompt);
    result.reused_tokens = same;
    const Stopwatch watch;
    auto logits = step(prompt.subspan(static_cast<std::size_t>(same)), sequence);
    result.prompt_seconds = watch.seconds();
    return logits;
  }

  // `prompt` fits and is not empty; the text continues that of `before`.
  GenerateResult run(std::span<const Token> prompt, std::span<const Token> before, const GenerateOptions& options,
                     Rng rng, Sequence& sequence, const OnText& on_text) const {
    GenerateResult result;
    auto logits = read_prompt(prompt, std::ssize(prompt) + options.tokens, sequence, result);
    std::vector<Token> seen(prompt.begin(), prompt.end());
    TextStream stream(*network.tokenizer, before, options.stop, on_text);
    const Stopwatch watch;
    while (result.tokens < options.tokens) {
      if (result.tokens > 0) logits = step(std::array{seen.back()}, sequence);
      seen.push_back(sample(logits, options, seen, rng));
      ++result.tokens;
      if (std::ranges::find(end_tokens, seen.back()) != end_tokens.end()) {
        result.ending = Ending::end_of_sequence;
        break;
      }
      const auto state = stream.add(seen.back());
      if (state == TextStream::State::open) continue;
      result.ending = state == TextStream::State::stopped ? Ending::stop_text : Ending::caller;
      break;
    }
    stream.finish();
    result.seconds = watch.seconds();
    result.text = stream.text();
    return result;
  }
};

Generator::Generator(const std::filesystem::path& model, Arithmetic arithmetic, int threads)
    : state_(std::make_unique<State>()) {
  set_thread_count(threads);
  state_->path = model;
  state_->network = open_network(model);
  state_->end_tokens = end_tokens_of(state_->network.config(), model);
  state_->blocks.resize(static_cast<std::size_t>(state_->network.config().layers));
  parallel_for(std::ssize(state_->blocks), [&](std::int64_t i) {
    state_->blocks[static_cast<std::size_t>(i)] = load_block(*state_->network.weights, i, compute_of(arithmetic));
  });
  state_->head = load_head(*state_->network.weights, compute_of(arithmetic));
}

Generator::~Generator() = default;
Generator::Generator(Generator&&) noexcept = default;
Generator& Generator::operator=(Generator&&) noexcept = default;

GenerateResult Generator::generate(std::string_view prompt, const GenerateOptions& options, const OnText& on_text) {
  check_options(options);
  require_utf8("prompt", prompt);
  const auto& config = state_->network.config();
  auto tokens = state_->network.tokenizer->encode(prompt, /*add_special=*/true);
  if (tokens.empty() && config.bos_token) tokens.push_back(static_cast<Token>(*config.bos_token));
  if (tokens.empty()) fail_input("prompt", "is empty, and the model has no beginning-of-text token to start from");
  state_->require_fit(tokens, options);
  Sequence sequence{{}, KvCache(config, 0)};
  return state_->run(tokens, std::span(tokens).last(1), options, Rng(options.seed), sequence, on_text);
}

struct Conversation::State {
  const Generator::State& generator;
  ChatFormat format;
  std::optional<std::string> system;
  std::vector<ChatMessage> messages;  // user and assistant in turn
  Sequence sequence;
  std::uint64_t replies = 0;

  // The prompt of `turns` that fits, after dropping the oldest of them, two messages each, where it must be.
  std::vector<Token> fitting_prompt(std::vector<ChatMessage>& turns, const GenerateOptions& options,
                                    std::int64_t& dropped) const {
    for (dropped = 0;; ++dropped) {
      const auto prompt = format.render(system, turns);
      auto tokens = generator.network.tokenizer->encode_quoting(prompt.text, prompt.quoted);
      if (turns.size() == 1) generator.require_fit(tokens, options);
      if (generator.fits(tokens, options)) return tokens;
      turns.erase(turns.begin(), turns.begin() + 2);
    }
  }
};

Conversation::Conversation(Generator& generator, std::optional<std::string> system) {
  const auto& state = *generator.state_;
  if (system) require_utf8("system message", *system);
  auto format = open_chat_format(state.path);
  if (system) format.render(system, std::array{ChatMessage{ChatRole::user, ""}});  // says now if there is no place
  state_.reset(new State{state, std::move(format), std::move(system), {}, {{}, KvCache(state.network.config(), 0)}});
}

Conversation::~Conversation() = default;

GenerateResult Conversation::say(std::string_view text, const GenerateOptions& options, const OnText& on_text) {
  check_options(options);
  require_utf8("prompt", text);
  auto turns = state_->messages;
  turns.push_back({ChatRole::user, std::string(text)});
  std::int64_t dropped = 0;
  const auto prompt = state_->fitting_prompt(turns, options, dropped);
  const Rng rng(options.seed ^ (0x9e3779b97f4a7c15ull * state_->replies));  // the first reply: the seed itself
  auto result = state_->generator.run(prompt, {}, options, rng, state_->sequence, on_text);
  result.forgotten_turns = dropped;
  turns.push_back({ChatRole::assistant, result.text});
  state_->messages = std::move(turns);
  ++state_->replies;
  return result;
}

}  // namespace nearplane
