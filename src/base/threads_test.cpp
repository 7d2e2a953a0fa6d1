#include "base/threads.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

namespace nearplane {
namespace {

class Threads : public testing::TestWithParam<int> {
 protected:
  void SetUp() override { set_thread_count(GetParam()); }
  void TearDown() override { set_thread_count(0); }
};

TEST_P(Threads, CallsEveryIndexOnce) {
  for (const std::int64_t count : {0, 1, 2, 7, 1000}) {
    std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
    parallel_for(count, [&](std::int64_t i) { ++calls[static_cast<std::size_t>(i)]; });
    for (const auto& c : calls) EXPECT_EQ(c, 1);
  }
}

TEST_P(Threads, RunsNestedLoopsInline) {
  std::atomic<int> sum{0};
  parallel_for(10, [&](std::int64_t i) {
    std::vector<std::int64_t> order;  // no lock: the inner loop stays on this thread, in order
    parallel_for(5, [&](std::int64_t k) { order.push_back(k); });
    EXPECT_EQ(order, (std::vector<std::int64_t>{0, 1, 2, 3, 4}));
    sum += static_cast<int>(i);
  });
  EXPECT_EQ(sum, 45);
}

TEST_P(Threads, RethrowsTheSmallestFailingIndexAndStaysUsable) {
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::string message;
    try {
      parallel_for(100, [](std::int64_t i) {
        if (i % 10 == 7) throw std::runtime_error(std::to_string(i));
      });
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    EXPECT_EQ(message, "7");
  }
  std::atomic<int> calls{0};
  parallel_for(50, [&](std::int64_t) { ++calls; });
  EXPECT_EQ(calls, 50);
}

TEST_P(Threads, ThrowsOutOfNestedLoops) {
  EXPECT_THROW(parallel_for(4,
                            [](std::int64_t) {
                              parallel_for(4, [](std::int64_t k) {
                                if (k == 2) throw std::runtime_error("inner");
                              });
                            }),
               std::runtime_error);
}

TEST_P(Threads, ShowsForeignLibrariesOneThread) {
  const int outside = omp_get_max_threads();
  parallel_for(64, [](std::int64_t) { EXPECT_EQ(omp_get_max_threads(), 1); });
  EXPECT_EQ(omp_get_max_threads(), outside);
}

INSTANTIATE_TEST_SUITE_P(Counts, Threads, testing::Values(1, 2, 8));

TEST(ThreadCount, FollowsTheSettingAndDefaultsToTheCores) {
  set_thread_count(3);
  EXPECT_EQ(thread_count(), 3);
  set_thread_count(0);
  EXPECT_GE(thread_count(), 1);
}

}  // namespace
}  // namespace nearplane
