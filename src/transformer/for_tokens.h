// Work that is independent for every token, split into tiles of fixed size.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/threads.h"

namespace nearplane {

/// body(t) for every token t in [0, count).
template <class F>
void for_tokens(std::int64_t count, const F& body) {
  constexpr std::int64_t kTokensPerTask = 64;
  parallel_for((count + kTokensPerTask - 1) / kTokensPerTask, [&](std::int64_t task) {
    for (auto t = task * kTokensPerTask; t < std::min(count, (task + 1) * kTokensPerTask); ++t) body(t);
  });
}

}  // namespace nearplane
