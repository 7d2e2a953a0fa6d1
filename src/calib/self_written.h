// Calibration text the model writes itself: no data set needed.
#pragma once

#include <functional>

#include "calib/windows.h"
#include "runtime/network.h"

namespace nearplane {

/// Memory of the keys and values while it is written, and how many texts of how many tokens.
struct WritingPlan {
  std::int64_t texts = 0, length = 0, at_a_time = 0;
  std::int64_t cache_bytes = 0;
};
WritingPlan writing_plan(const ModelConfig& config, const CalibrationOptions& options);

/// options.samples windows of options.length tokens, sampled at temperature 1 from the model itself, starting at its
/// beginning-of-text token (else its first end-of-text token) and going on after end-of-text. Long windows are several
/// texts of at most 512 tokens in a row. Seeded; batched, so every weight is read once per step for many texts.
/// `texts` are the first ones, if they were written before with the same options; keep(first, texts) is called with
/// those that were just written.
std::vector<Window> write_windows(const Network& network, const CalibrationOptions& options, Compute compute,
                                  Observer& observer, std::vector<Window> texts = {},
                                  const std::function<void(std::int64_t, std::span<const Window>)>& keep = {});

}  // namespace nearplane
