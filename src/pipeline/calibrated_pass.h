// One pass over the calibration tokens that quantizes every block on the way: the inputs of a stage come from
// everything before it already quantized. Memory: that of pipeline/stage_walk.h and one f32 weight matrix (with drift
// correction, a few).
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

/// Calls `done(block, layers)` after each block, in order, layers in the order of LinearKind.
void quantize_calibrated(const std::shared_ptr<const Model>& model, std::span<const Window> windows,
                         const QuantizeOptions& options, const BitPlan& bits, Observer& observer,
                         const std::function<void(std::int64_t, std::vector<FinishedLayer>&)>& done);

/// The same without calibration, for methods that need no Gram matrix.
void quantize_plain(const std::shared_ptr<const Model>& model, const QuantizeOptions& options, Observer& observer,
                    const std::function<void(std::int64_t, std::vector<FinishedLayer>&)>& done);

}  // namespace nearplane
