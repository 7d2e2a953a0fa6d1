// Runs a check with tile products and without them, where the machine has them.
#pragma once

#include <gtest/gtest.h>

#include "kernel/tiles.h"

namespace nearplane {

template <class F>
void with_and_without_tiles(const F& check) {
  for (const bool allowed : {true, false}) {
    SCOPED_TRACE(allowed ? "tiles" : "no tiles");
    allow_tiles(allowed);
    check();
  }
  allow_tiles(true);
}

}  // namespace nearplane
