// Calibration text the model writes itself: no data set needed.
#pragma once

#include "calib/windows.h"
#include "runtime/network.h"

namespace nearplane {

/// options.samples windows of options.length tokens, sampled at temperature 1 from the model itself, starting at its
/// beginning-of-text token (else its first end-of-text token) and going on after end-of-text. Long windows are several
/// texts of at most 512 tokens in a row. Seeded; batched, so every weight is read once per step for many texts.
std::vector<Window> write_windows(const Network& network, const CalibrationOptions& options, Compute compute,
                                  Observer& observer);

}  // namespace nearplane
