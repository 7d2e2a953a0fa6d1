#include "runtime/stop_strings.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace nearplane {
namespace {

void expect_safe(const StopStrings& stops, std::string_view text, std::size_t bytes, bool stopped) {
  const auto safe = stops.safe(text);
  EXPECT_EQ(safe.bytes, bytes) << text;
  EXPECT_EQ(safe.stopped, stopped) << text;
}

TEST(StopStrings, HoldsBackWhatMayBecomeOne) {
  const StopStrings stops({"User:", "\n\n"});
  expect_safe(stops, "", 0, false);
  expect_safe(stops, "hello", 5, false);
  expect_safe(stops, "hello U", 6, false);
  expect_safe(stops, "hello User", 6, false);
  expect_safe(stops, "hello User:", 6, true);
  expect_safe(stops, "hello Use of", 12, false);  // it was none
  expect_safe(stops, "line\n", 4, false);
  expect_safe(stops, "line\n\nUser:", 4, true);
  expect_safe(StopStrings({}), "hello", 5, false);
}

TEST(StopStrings, APrefixThatRepeatsItself) {
  const StopStrings stops({"aab"});
  expect_safe(stops, "aaa", 1, false);
  expect_safe(stops, "aaab", 1, true);
}

TEST(StopStrings, TheOneCompleteFirstEndsTheText) {
  expect_safe(StopStrings({"abc", "b"}), "xabc", 2, true);
  expect_safe(StopStrings({"c", "abc", "bc"}), "xabc", 1, true);  // of those that end together the longest
}

// Whatever the pieces are in which a text comes: what is handed on never has to be taken back, and the end is the same.
TEST(StopStrings, PiecesDoNotMatter) {
  Rng rng(1);
  const auto random = [&](std::size_t most) {
    std::string out;
    for (auto n = 1 + rng.below(most); n > 0; --n) out += static_cast<char>('a' + rng.below(2));
    return out;
  };
  for (int i = 0; i < 3000; ++i) {
    const StopStrings stops({random(4), random(6)});
    const auto text = random(30);
    std::size_t end = text.size();  // by the definition: bytes one by one
    for (std::size_t n = 1; n <= text.size() && end == text.size(); ++n)
      if (const auto safe = stops.safe(std::string_view(text).substr(0, n)); safe.stopped) end = safe.bytes;
    std::size_t shown = 0;
    bool stopped = false;
    for (std::size_t n = 0; n < text.size() && !stopped;) {
      n = std::min(n + 1 + rng.below(5), text.size());
      const auto safe = stops.safe(std::string_view(text).substr(0, n));
      EXPECT_GE(safe.bytes, shown);
      shown = safe.bytes, stopped = safe.stopped;
    }
    EXPECT_EQ(stopped ? shown : text.size(), end);
  }
}

}  // namespace
}  // namespace nearplane
