// Bits of each layer from what the model feels of its error, at a given size of the whole.
// Problem: min over bits in {2, 3, 4, 5, 8} per unit of the predicted KL 1/2 sum_i f_i E_i / T (calib/sensitivity.h)
// subject to stored bytes. A unit is a set of layers that share their inputs (q/k/v; o; gate/up; down): other engines
// fuse them and need one setting. With options.mix_apart it is a layer.
// E_i is measured, not modelled: an even sample of each layer's rows is quantized at each of the bits under the Gram
// matrix of the unquantized model, without alternation or beam, and extrapolated in proportion to f_i |w_i|^2.
// Source: docs/methods/mixing.md. Cost: a look ahead (pipeline/look_ahead.h) and about one quantization of the model.
#pragma once

#include <map>
#include <string>

#include "calib/windows.h"
#include "model/model.h"
#include "nearplane/quantize.h"
#include "pipeline/journal.h"
#include "runtime/network.h"

namespace nearplane {

struct LayerBits {
  int bits = 0;
  double predicted_kl = 0;  // nats per token, of this layer alone
};

/// By linear_name. Error{bad_input} if options.mix is outside what 2 to 8 bits reach; else those of look_ahead.
std::map<std::string, LayerBits> mix_bits(const std::shared_ptr<const Model>& model, const Network& network,
                                          std::span<const Window> windows, const QuantizeOptions& options,
                                          Journal& journal, Observer& observer);

}  // namespace nearplane
