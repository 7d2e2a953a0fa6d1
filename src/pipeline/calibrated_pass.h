// One pass over the calibration tokens that quantizes every block on the way: the inputs of a stage come from
// everything before it already quantized; a block that a run before finished is taken from the journal. Memory: that of
// pipeline/stage_walk.h and one f32 weight matrix (with drift correction, a few).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "calib/windows.h"
#include "model/model.h"
#include "nearplane/quantize.h"
#include "pipeline/block_pass.h"
#include "pipeline/mixing.h"
#include "pipeline/shared_slope.h"
#include "qtensor/quantized_tensor.h"
#include "transformer/transformer.h"

namespace nearplane {

struct FinishedLayer {
  std::shared_ptr<const QuantizedTensor> tensor;
  LayerRecord record;
};

/// How layers share bits; neither: options.grid.bits each.
struct BitPlan {
  std::map<std::string, LayerBits> mixed;  // by name, of integer layers
  std::unique_ptr<SharedSlope> slope;      // of coded layers
};

/// What becomes of each block, in order.
struct BlockSink {
  /// Just quantized; layers in the order of LinearKind. Returns what known() needs.
  std::function<Json(std::int64_t block, std::vector<FinishedLayer>& layers)> done;
  /// Finished by a run before. Returns the records of its layers.
  std::function<std::vector<LayerRecord>(std::int64_t block, const Json& outcome)> known;
};

void quantize_calibrated(const std::shared_ptr<const Model>& model, std::span<const Window> windows,
                         const QuantizeOptions& options, const BitPlan& bits, Journal& journal, Observer& observer,
                         const BlockSink& sink);

/// The same without calibration, for methods that need no Gram matrix.
void quantize_plain(const std::shared_ptr<const Model>& model, const QuantizeOptions& options, Journal& journal,
                    Observer& observer, const BlockSink& sink);

/// The first block, quantized from these windows and thrown away: to see what a block takes.
struct BlockTrial {
  std::vector<FinishedLayer> layers;
  double seconds = 0, solve_seconds = 0;  // of all; of what does not grow with the tokens
};
BlockTrial try_block(const std::shared_ptr<const Model>& model, std::span<const Window> windows,
                     const QuantizeOptions& options, Observer& observer);

}  // namespace nearplane
