// The way back: quantized layers of GPTQ and compressed-tensors checkpoints as plain numbers. Written from the format
// pages number by number and independent of the packing, so that a mistake there cannot cancel out here.
#pragma once

#include <cstdint>
#include <string>

#include "container/tensor_file.h"
#include "tensor/matrix.h"

namespace nearplane {

/// W[i,j] = scales[i,g] (codes[i,j] - zeros[i,g]) with g = j / group.
struct Unpacked {
  std::int64_t group = 0;
  Matrix<std::uint8_t> codes;    // [m, n]
  Matrix<std::uint16_t> scales;  // [m, G] f16
  Matrix<std::uint8_t> zeros;    // [m, G]
};

/// `config` is the checkpoint's quantization_config. Error{bad_input} naming the tensor or key that does not fit.
Unpacked unpack_gptq(const TensorFile& file, const Json& config, const std::string& layer);
Unpacked unpack_compressed_tensors(const TensorFile& file, const Json& config, const std::string& layer);

}  // namespace nearplane
