// Runs a check once for each vector instruction set the machine and the build have, slowest to fastest.
#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

namespace nearplane {

template <class F>
void for_every_target(const F& check) {
  const auto targets = hwy::SupportedAndGeneratedTargets();
  for (const auto target : targets) {
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(target);
    check();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();  // the next dispatch chooses the best again
  EXPECT_FALSE(targets.empty());
}

}  // namespace nearplane
