#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/json.h"
#include "expect_error.h"

namespace nearplane {
namespace {

TEST(Sampler, ZeroTemperatureTakesTheFirstOfTheLargest) {
  Rng rng(1);
  EXPECT_EQ(sample(std::array{1.0f, 3.0f, 3.0f, -2.0f}, 0, rng), 1);
}

TEST(Sampler, DrawsWithTheRightFrequencies) {
  const std::array logits{std::log(1.0f) + 7, std::log(2.0f) + 7, std::log(5.0f) + 7};
  Rng rng(2);
  std::array<int, 3> counts{};
  for (int i = 0; i < 80000; ++i) ++counts[static_cast<std::size_t>(sample(logits, 1, rng))];
  EXPECT_NEAR(counts[0], 10000, 400);
  EXPECT_NEAR(counts[1], 20000, 500);
  // temperature 1/2 squares the odds: 1 : 4 : 25
  counts = {};
  for (int i = 0; i < 30000; ++i) ++counts[static_cast<std::size_t>(sample(logits, 0.5, rng))];
  EXPECT_NEAR(counts[0], 1000, 150);
  EXPECT_NEAR(counts[2], 25000, 300);
}

TEST(Sampler, NeverReturnsAnImpossibleToken) {
  const std::array logits{-INFINITY, 0.0f, -INFINITY};
  Rng rng(3);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(sample(logits, 1, rng), 1);
}

// Logits whose probabilities at temperature 1 are 0.5, 0.3, 0.15, 0.05 in this order of ids: 2, 0, 3, 1.
const std::array kLogits{std::log(0.3f), std::log(0.05f), std::log(0.5f), std::log(0.15f)};

GenerateOptions at_temperature(double temperature) {
  GenerateOptions options;
  options.temperature = temperature;
  return options;
}

std::vector<double> probabilities(std::span<const float> logits, const GenerateOptions& options,
                                  std::span<const Token> seen = {}) {
  auto weights = token_weights(logits, options, seen);
  double sum = 0;
  for (const auto weight : weights) sum += weight;
  for (auto& weight : weights) weight /= sum;
  return weights;
}

void expect_probabilities(const GenerateOptions& options, const std::array<double, 4>& expected) {
  const auto found = probabilities(kLogits, options);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(found[i], expected[i], 1e-6) << i;
}

TEST(Sampler, TopKByHand) {
  auto options = at_temperature(1);
  expect_probabilities(options, {0.3, 0.05, 0.5, 0.15});
  options.top_k = 2;
  expect_probabilities(options, {0.375, 0, 0.625, 0});
  options.top_k = 1;
  expect_probabilities(options, {0, 0, 1, 0});
  options.top_k = 4;
  expect_probabilities(options, {0.3, 0.05, 0.5, 0.15});
  options.top_k = 2;  // smaller ids first among equals
  const std::array equal{1.0f, 2.0f, 1.0f, 1.0f};
  EXPECT_EQ(probabilities(equal, options)[2], 0);
  EXPECT_GT(probabilities(equal, options)[0], 0);
}

TEST(Sampler, TopPByHand) {
  auto options = at_temperature(1);
  options.top_p = 0.7;  // 0.5 is not enough, 0.5 + 0.3 is
  expect_probabilities(options, {0.375, 0, 0.625, 0});
  options.top_p = 0.4;
  expect_probabilities(options, {0, 0, 1, 0});
  options.top_p = 0.9;
  expect_probabilities(options, {0.3 / 0.95, 0, 0.5 / 0.95, 0.15 / 0.95});
  options.top_p = 0.97;
  expect_probabilities(options, {0.3, 0.05, 0.5, 0.15});
  // After top-k, of what is left: 0.625 alone reaches 0.6.
  options.top_k = 2, options.top_p = 0.6;
  expect_probabilities(options, {0, 0, 1, 0});
}

TEST(Sampler, MinPByHand) {
  auto options = at_temperature(1);
  options.min_p = 0.2;  // 0.1 and more
  expect_probabilities(options, {0.3 / 0.95, 0, 0.5 / 0.95, 0.15 / 0.95});
  options.min_p = 1;
  expect_probabilities(options, {0, 0, 1, 0});
  // Temperature comes before: the squares are as 100 : 36 : 9 : 1.
  options.temperature = 0.5, options.min_p = 0.1;
  expect_probabilities(options, {36.0 / 136, 0, 100.0 / 136, 0});
}

TEST(Sampler, PenaltyByHand) {
  const std::array logits{2.0f, 1.9f, -1.0f, -1.1f};
  auto options = at_temperature(0);
  Rng rng(1);
  const std::array seen{Token{0}, Token{2}, Token{0}};  // twice counts once: 2 / 1.5 and -1 * 1.5
  EXPECT_EQ(sample(logits, options, seen, rng), 0);
  options.repetition_penalty = 1.5;
  EXPECT_EQ(sample(logits, options, seen, rng), 1);
  options.temperature = 1;
  const auto found = probabilities(logits, options, seen);
  const std::array expected{2.0 / 1.5, 1.9, -1.5, -1.1};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(std::log(found[i] / found[1]), expected[i] - expected[1], 1e-5) << i;
}

// transformers' processors and ours on random logits: the same tokens with the same probabilities.
TEST(Sampler, GoldenDistributions) {
  const auto golden = read_json(NEARPLANE_SOURCE_DIR "/tests/golden/chat/sampling.json");
  for (const auto& expected : golden["cases"]) {
    auto options = at_temperature(expected["temperature"]);
    options.top_k = expected["top_k"], options.top_p = expected["top_p"], options.min_p = expected["min_p"];
    options.repetition_penalty = expected["repetition_penalty"];
    const auto found =
        probabilities(golden["logits"].get<std::vector<float>>(), options, golden["seen"].get<std::vector<Token>>());
    const auto theirs = expected["probabilities"].get<std::vector<double>>();
    ASSERT_EQ(found.size(), theirs.size());
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], theirs[i], 1e-5) << expected;
  }
}

// Filters that keep everything change no draw; any filter draws only what it keeps; the largest always stays.
TEST(Sampler, FiltersOnlyTakeAway) {
  Rng rng(4);
  std::vector<float> logits(500);
  for (int round = 0; round < 50; ++round) {
    for (auto& logit : logits) logit = static_cast<float>(3 * rng.normal());
    auto options = at_temperature(0.3 + rng.uniform());
    Rng a(static_cast<std::uint64_t>(round)), b = a;
    EXPECT_EQ(sample(logits, options, {}, a), sample(logits, options.temperature, b));
    options.top_k = 1 + static_cast<std::int64_t>(rng.below(400));
    options.top_p = 1 - 0.9 * rng.uniform(), options.min_p = 0.5 * rng.uniform();
    const auto weights = token_weights(logits, options, {});
    EXPECT_LE(std::ranges::count_if(weights, [](double w) { return w > 0; }), options.top_k);
    EXPECT_EQ(weights[static_cast<std::size_t>(sample(logits, 0, a))], 1);
    for (int i = 0; i < 50; ++i) EXPECT_GT(weights[static_cast<std::size_t>(sample(logits, options, {}, a))], 0);
  }
}

TEST(Sampler, AModelWithoutNumbersIsNotSampled) {
  Rng rng(5);
  for (const auto bad : {NAN, INFINITY})
    for (const double temperature : {0.0, 1.0})
      expect_error(ErrorCode::numerical, {"finite"}, [&] {
        sample(std::array{0.0f, bad}, at_temperature(temperature), {}, rng);
      });
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  const auto refused = [](auto member, auto value, const char* name) {
    GenerateOptions options;
    options.*member = value;
    expect_error(ErrorCode::bad_input, {name}, [&] { check_options(options); });
  };
  using G = GenerateOptions;
  check_options({});
  refused(&G::tokens, 0, "tokens: 0");
  refused(&G::temperature, -0.1, "temperature: -0.1");
  refused(&G::temperature, INFINITY, "temperature: inf");
  refused(&G::temperature, NAN, "temperature: nan");
  refused(&G::top_k, -1, "top-k: -1");
  for (const double p : {0.0, 1.01, -1.0, static_cast<double>(NAN)}) refused(&G::top_p, p, "top-p");
  for (const double p : {-0.01, 1.01, static_cast<double>(NAN)}) refused(&G::min_p, p, "min-p");
  for (const double p : {0.0, -1.0, static_cast<double>(NAN)}) refused(&G::repetition_penalty, p, "repetition-penalty");
  refused(&G::stop, std::vector<std::string>{"ok", ""}, "stop: an empty");
  refused(&G::stop, std::vector<std::string>{"\xff"}, "stop: the text is not valid UTF-8");
}

}  // namespace
}  // namespace nearplane
