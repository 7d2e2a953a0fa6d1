#include "transformer/transformer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/threads.h"
#include "expect_error.h"
#include "tiny_model.h"

namespace nearplane {
namespace {

constexpr double kTolerance = 1e-5;  // of the largest logit; rounding of f32 in another order

struct Case {
  const char* model;  // folder or GGUF file
  const char* texts;  // folder with the logits
};

// The letters and digits of a file name, as gtest wants it.
std::string test_name(std::string name) {
  std::ranges::replace_if(
      name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

class Golden : public testing::TestWithParam<Case> {};

TEST_P(Golden, LogitsEqualTransformers) {
  const TinyModel model(GetParam().model);
  for (const auto& text : golden_texts(GetParam().texts))
    EXPECT_LT(relative_difference(model.logits(text.tokens).view(), text.logits.view()), kTolerance);
}

TEST_P(Golden, Bf16IsClose) {
  const TinyModel exact(GetParam().model), rounded(GetParam().model, Compute::bf16);
  const auto texts = golden_texts(GetParam().texts);
  const auto& text = texts[0];
  const auto difference = relative_difference(rounded.logits(text.tokens).view(), exact.logits(text.tokens).view());
  EXPECT_LT(difference, 0.1);
  EXPECT_GT(difference, 1e-4) << "bf16 was not used";
}

INSTANTIATE_TEST_SUITE_P(Models, Golden,
                         testing::Values(Case{"llama", "llama"}, Case{"llama3-rope", "llama3-rope"},
                                         Case{"llama3-freqs", "llama3-freqs"},
                                         Case{"llama-linear-rope", "llama-linear-rope"},
                                         Case{"llama-bias", "llama-bias"}, Case{"smollm-tied", "smollm-tied"},
                                         Case{"mistral-window", "mistral-window"}, Case{"qwen2", "qwen2"},
                                         Case{"qwen2-window", "qwen2-window"}, Case{"qwen3", "qwen3"},
                                         Case{"llama.gguf", "llama"}, Case{"llama-bias.gguf", "llama-bias"},
                                         Case{"llama3-freqs.gguf", "llama3-freqs"}, Case{"qwen2.gguf", "qwen2"},
                                         Case{"qwen3.gguf", "qwen3"}),
                         [](const auto& tested) { return test_name(tested.param.model); });

// Two sequences back to back, the rows of the second after those of the first.
struct Pair {
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> lengths;
  explicit Pair(const std::vector<GoldenText>& texts) {
    for (const auto& text : texts) {
      tokens.insert(tokens.end(), text.tokens.begin(), text.tokens.end());
      lengths.push_back(std::ssize(text.tokens));
    }
  }
};

class EveryFamily : public testing::TestWithParam<const char*> {};

TEST_P(EveryFamily, BatchEqualsOneByOne) {
  const TinyModel model(GetParam());
  const auto texts = golden_texts(GetParam());
  const Pair pair(texts);
  const auto logits = model.logits(pair.tokens, pair.lengths);
  std::int64_t t0 = 0;
  for (const auto& text : texts) {
    const auto count = std::ssize(text.tokens);
    EXPECT_LT(relative_difference(logits.view().rows_at(t0, count), model.logits(text.tokens).view()), kTolerance);
    t0 += count;
  }
}

// Prompts of chunks of `step` tokens, through caches, two sequences of different length at once.
void expect_cached_equals_whole(const TinyModel& model, const std::vector<GoldenText>& texts, std::int64_t step) {
  std::vector<KvCache> caches;
  for (const auto& text : texts) caches.emplace_back(model.config(), std::ssize(text.tokens));
  std::int64_t done = 0;
  while (true) {
    std::vector<std::int32_t> tokens;
    std::vector<std::int64_t> lengths;
    for (const auto& text : texts) {
      const auto begin = std::min(done, std::ssize(text.tokens)), end = std::min(done + step, std::ssize(text.tokens));
      tokens.insert(tokens.end(), text.tokens.begin() + begin, text.tokens.begin() + end);
      lengths.push_back(end - begin);
    }
    if (tokens.empty()) break;
    const auto logits = model.logits(tokens, lengths, caches);
    std::int64_t row = 0;
    for (std::size_t s = 0; s < texts.size(); row += lengths[s++])
      if (lengths[s] > 0) {
        EXPECT_LT(relative_difference(logits.view().rows_at(row, lengths[s]),
                                      texts[s].logits.view().rows_at(done, lengths[s])),
                  2 * kTolerance);
      }
    done += step;
  }
}

TEST_P(EveryFamily, CacheEqualsWholeSequence) {
  const TinyModel model(GetParam());
  const auto texts = golden_texts(GetParam());
  for (const std::int64_t step : {1, 5, 16}) expect_cached_equals_whole(model, texts, step);
}

// A cache that has seen another continuation of the same beginning, and too small for this one.
TEST_P(EveryFamily, ACacheStartsAgainInTheMiddle) {
  const TinyModel model(GetParam());
  const auto texts = golden_texts(GetParam());
  const auto& text = texts.front();
  const auto count = std::ssize(text.tokens), same = count / 2;
  std::vector<std::int32_t> other(text.tokens.begin(), text.tokens.begin() + same);
  other.insert(other.end(), 3, text.tokens.front());
  std::vector<KvCache> caches;
  caches.emplace_back(model.config(), std::ssize(other));
  model.logits(other, std::vector{std::ssize(other)}, caches);
  caches[0].restart_at(same, count);
  EXPECT_EQ(caches[0].length(), same);
  EXPECT_EQ(caches[0].capacity(), count);
  const std::vector<std::int32_t> rest(text.tokens.begin() + same, text.tokens.end());
  const auto logits = model.logits(rest, std::vector{count - same}, caches);
  EXPECT_LT(relative_difference(logits.view(), text.logits.view().rows_at(same, count - same)), 2 * kTolerance);
}

TEST_P(EveryFamily, SameBitsForAnyNumberOfThreads) {
  for (const auto compute : {Compute::f32, Compute::bf16}) {
    const TinyModel model(GetParam(), compute);
    const Pair pair(golden_texts(GetParam()));
    set_thread_count(1);
    const auto one = model.logits(pair.tokens, pair.lengths);
    for (const int threads : {2, 5}) {
      set_thread_count(threads);
      EXPECT_TRUE(std::ranges::equal(one.span(), model.logits(pair.tokens, pair.lengths).span()));
    }
    set_thread_count(0);
  }
}

INSTANTIATE_TEST_SUITE_P(Families, EveryFamily, testing::Values("llama", "mistral-window", "qwen2", "qwen3"),
                         [](const auto& tested) { return test_name(tested.param); });

TEST(Embed, RefusesTokensOutsideTheVocabulary) {
  const TinyModel model("llama");
  expect_error(ErrorCode::bad_input, {"id 128", "position 1", "128"}, [&] {
    model.logits(std::vector<std::int32_t>{3, 128});
  });
  expect_error(ErrorCode::bad_input, {"id -1"}, [&] { model.logits(std::vector<std::int32_t>{-1}); });
}

TEST(ForwardBlock, ManySequencesPassInParts) {
  const TinyModel model("llama");
  const auto texts = golden_texts("llama");
  const auto& text = texts[1];
  std::vector<std::int32_t> tokens;
  std::vector<std::int64_t> lengths(110, std::ssize(text.tokens));  // 4400 tokens: more than pass at once
  for (std::size_t i = 0; i < lengths.size(); ++i) tokens.insert(tokens.end(), text.tokens.begin(), text.tokens.end());
  const auto logits = model.logits(tokens, lengths);
  const auto count = std::ssize(text.tokens);
  for (const std::int64_t s : {0, 101, 102, 109})
    EXPECT_LT(relative_difference(logits.view().rows_at(s * count, count), text.logits.view()), kTolerance);
}

}  // namespace
}  // namespace nearplane
