// Runs a check once for each vector instruction set the machine and the build have, slowest to fastest.
#pragma once

#include <gtest/gtest.h>
#define HWY_WANT_AVX3_DL
#include <hwy/targets.h>

namespace nearplane {

template <class F>
void for_every_target(const F& check) {
  const auto all = hwy::SupportedTargets();
  const auto targets = hwy::SupportedAndGeneratedTargets();
  for (const auto target : targets) {
    SCOPED_TRACE(hwy::TargetName(target));
    const auto supported = all & ~(target - 1);  // and worse ones, for loops that lack it
    hwy::SetSupportedTargetsForTest(supported);
    hwy::GetChosenTarget().Update(supported);
    check();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();  // the next dispatch chooses the best again
  EXPECT_FALSE(targets.empty());
}

}  // namespace nearplane
