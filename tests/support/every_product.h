// Runs a check once for each vector instruction set, and with tile products where there are some.
#pragma once

#include <gtest/gtest.h>

#include "every_target.h"
#include "kernel/tiles.h"

namespace nearplane {

template <class F>
void for_every_product(const F& check) {
  for (const bool allowed : {true, false}) {
    SCOPED_TRACE(allowed ? "tiles" : "no tiles");
    allow_tiles(allowed);
    for_every_target(check);
  }
  allow_tiles(true);
}

}  // namespace nearplane
