// Coded layers of a whole model at one slope: rows and layers get their bits by what the model's output feels.
// Problem and method: quant/rate_plan.h, with f from calib/sensitivity.h and widths from a look ahead; during the pass
// the pivots are those of the inputs that really arrive.
// Source: docs/methods/slope.md.
#pragma once

#include <optional>
#include <string>

#include "pipeline/look_ahead.h"
#include "quant/rate_plan.h"

namespace nearplane {

class SharedSlope {
 public:
  /// Looks ahead. Error{bad_input} if options.grid.bits are out of reach, naming the reachable range; else those of the
  /// look.
  SharedSlope(const std::shared_ptr<const Model>& model, const Network& network, std::span<const Window> windows,
              const QuantizeOptions& options, Journal& journal, Observer& observer);

  /// The next layer, in the order of the pass. `tokens` are those in the Gram matrix. record.predicted_kl is set.
  QuantizedLayer quantize(const std::string& name, const Matrix<float>& w, const Hessian& hessian, std::int64_t tokens,
                          GridOptions grid, const std::string& where);

  /// The next layer was quantized before, to this many bits per weight.
  void skip(double bits) { plan_->done(bits); }

 private:
  Sensitivity sensitivity_;
  std::optional<RatePlan> plan_;
};

}  // namespace nearplane
