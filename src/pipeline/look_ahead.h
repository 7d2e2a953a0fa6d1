// A first look at the model, before its layers are quantized one after another: what they will need of the bits that
// all share. A few calibration tokens, the original model: how sensitive its output is to every layer's outputs, and
// the Gram matrix of every stage. Cost: four forward passes of at most kLookTokens tokens, the backward pass counted
// in. The journal keeps all of it, block by block.
#pragma once

#include <functional>
#include <string>

#include "calib/sensitivity.h"
#include "pipeline/block_pass.h"
#include "quant/quantize_linear.h"

namespace nearplane {

inline constexpr std::int64_t kLookTokens = 8192;  // whole windows; with more, choices hardly change

/// A layer in the order in which it will be quantized. tokens = those in the Gram matrix.
struct LayerAhead {
  std::string name;
  LinearKind kind;
  bool opens_stage = false;  // shares its inputs with those that follow and do not
  const Matrix<float>& w;    // [m, n]
  const Hessian& hessian;
  std::int64_t tokens = 0;
  std::string where;  // file and tensor
};

struct Ahead {
  Sensitivity f;             // [m] of each layer
  std::vector<Json> layers;  // what `examine` said of them, in order
};

/// `examine` sees every layer and its f [m]. Order and damping of options.grid, natural order for coded methods; errors
/// of output_sensitivity, of the walk and of the journal.
Ahead look_ahead(const std::shared_ptr<const Model>& model, const Network& network, std::span<const Window> windows,
                 const QuantizeOptions& options, Journal& journal, Observer& observer,
                 const std::function<Json(const LayerAhead&, const std::vector<double>& f)>& examine);

/// The order in which a method decides columns: coded streams run along the stored one.
Order order_of(const GridOptions& grid);

}  // namespace nearplane
