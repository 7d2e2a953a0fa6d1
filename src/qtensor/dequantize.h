// The arithmetic of the reference decode, vectorised: one product per weight.
#pragma once

#include <cstdint>

namespace nearplane {

/// out[i] = scale * (f32(code[i]) - zero), rounded once.
void dequantize(const std::uint8_t* codes, std::int64_t count, float scale, float zero, float* out);

}  // namespace nearplane
