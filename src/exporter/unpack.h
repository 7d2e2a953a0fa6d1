// The way back: quantized layers of GPTQ and compressed-tensors checkpoints as plain numbers. Written from the format
// pages number by number and independent of the packing, so that a mistake there cannot cancel out here.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "container/tensor_file.h"
#include "exporter/packed_config.h"
#include "tensor/matrix.h"

namespace nearplane {

/// W[i,j] = scales[i,g] (codes[i,j] - zeros[i,g]) with g = j / group.
struct Unpacked {
  int bits = 0;
  std::int64_t group = 0;
  Matrix<std::uint8_t> codes;    // [m, n]
  Matrix<std::uint16_t> scales;  // [m, G] f16
  Matrix<std::uint8_t> zeros;    // [m, G]
};

/// The layer of this module name. Error{bad_input} naming the tensor or key that does not fit, Error{unsupported} for
/// content that these plain numbers cannot say: columns out of order, scales that are no f16 numbers, zero points on
/// which readers disagree.
Unpacked unpack_layer(const TensorFile& file, const PackedConfig& config, const std::string& layer);

/// [m, n] of the layer, from its tensors' shapes alone. Error{bad_input}.
std::array<std::int64_t, 2> packed_shape(const TensorFile& file, const PackedConfig& config, const std::string& layer);

}  // namespace nearplane
