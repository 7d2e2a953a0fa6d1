#include <gtest/gtest.h>
#include <hwy/targets.h>

#include "expect_error.h"
#include "kernel/tiles.h"
#include "nearplane/machine.h"

namespace nearplane {
namespace {

TEST(VectorTarget, RunsAsNamed) {
  const auto names = vector_targets();
  EXPECT_EQ(vector_target(), names.front());
  // From the best down: what is beyond a name is off from then on.
  for (const auto& name : names) {
    use_vector_target(name);
    EXPECT_EQ(vector_target(), name);
    EXPECT_EQ(vector_targets().front(), name);
  }
  allow_tiles(true);
  hwy::DisableTargets(0);
  hwy::GetChosenTarget().DeInit();
}

TEST(VectorTarget, RefusesWhatIsNotThere) {
  expect_error(ErrorCode::bad_input, {"NEARPLANE_TARGET", "\"mmx\"", "scalar"}, [] { use_vector_target("mmx"); });
}

}  // namespace
}  // namespace nearplane
