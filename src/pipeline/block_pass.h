// A pass over the blocks of a model that a later run can go on with: after each block its outcome and, where tokens go
// through the blocks, their activations are durable.
// Cost: the activations of the walk are written once for each block, [T, d] f32 for each lane; at most two such files
// are there at a time. To go on costs reading one of them and what was done of the block at hand.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/json.h"
#include "pipeline/journal.h"
#include "pipeline/stage_walk.h"

namespace nearplane {

struct BlockPass {
  std::string name;  // of its items in the journal
  std::int64_t blocks = 0;
  std::function<std::unique_ptr<StageWalk>()> begin;                   // at block 0; null: no tokens go through
  std::function<void(std::int64_t block, const Json& outcome)> known;  // done by a run before
  std::function<Json(std::int64_t block, StageWalk* walk)> work;       // returns the outcome
};

/// Calls known() for the blocks that the journal has, work() for the others, in order.
void pass_over_blocks(Journal& journal, const BlockPass& pass);

}  // namespace nearplane
