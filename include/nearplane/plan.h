// What a quantization will take, before it starts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nearplane/observer.h"
#include "nearplane/quantize.h"

namespace nearplane {

/// A linear layer of the first block, quantized on trial. The other blocks have layers of the same shapes.
struct PlannedLayer {
  std::string name;
  std::int64_t rows = 0, cols = 0;
  double bits_per_weight = 0;
  std::int64_t stored_bytes = 0;
  double seconds = 0;  // of quantizing it, its Gram matrix given
};

struct Plan {
  std::int64_t blocks = 0;
  std::vector<PlannedLayer> layers;  // of one block
  std::int64_t tokens = 0;           // of calibration
  std::int64_t store_bytes = 0;      // of the finished store, but for its text files
  std::int64_t work_bytes = 0;       // beside it while the run is under way, at most
  std::int64_t peak_memory = 0;      // resident bytes of the process
  double text_seconds = 0;           // of writing calibration text
  double block_seconds = 0;
  double seconds = 0;  // of the whole run

  std::int64_t trial_tokens = 0;  // that went through the first block on trial
};

/// Sends a few thousand tokens (at most one chunk of the walk) through the first block and quantizes its layers, with
/// the code of quantize(), and extrapolates: what grows with tokens by their number, the rest as it is, to all blocks.
/// The look ahead of options.mix and options.slope is counted in time as one more pass of its tokens, not in memory.
/// Memory is that of a process that has done nothing else: call it in one. Errors as those of quantize().
Plan plan_quantization(const std::filesystem::path& model, const QuantizeOptions& options, Observer& observer);

}  // namespace nearplane
