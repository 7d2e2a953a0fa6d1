#include "qtensor/quantized_tensor.h"

#include <algorithm>

#include "base/threads.h"

namespace nearplane {

Matrix<float> QuantizedTensor::decode() const {
  if (rotated() != nullptr) return rotated()->decode();
  auto out = Matrix<float>::uninitialized(rows(), cols());
  parallel_for((rows() + kLevelBlockRows - 1) / kLevelBlockRows, [&](std::int64_t block) {
    const auto first = block * kLevelBlockRows;
    decode_rows(first, std::min(kLevelBlockRows, rows() - first), out.row(first));
  });
  return out;
}

}  // namespace nearplane
