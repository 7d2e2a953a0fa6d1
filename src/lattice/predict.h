// What rounding to absmax grids costs at high rate, from second moments alone: no weight is quantized.
// Problem: a group of `group` Gaussian weights of a given variance shares a scale that maps its largest magnitude to
// the
//   largest level; E (w - q)^2 per weight, remainders taken as uniform: step^2 / 12, averaged over the scale and, for
//   floating-point grids, over the binades. A layer's error is then sum_j H_jj E (w - q)^2 per row for rounding to
//   nearest and sum_k L_kk^2 E (w - q)^2 for nearest plane.
// Accuracy against drawn weights, groups of 64: integers 10 % at 2 bits, 1 % from 3 on; floating point 8 % without
//   mantissa, 3 % with one bit, 1 % from two on. Nearest plane adds the clipping its feedback causes.
#pragma once

#include <cstdint>

namespace nearplane::lattice {

/// Levels -(2^(bits-1) - 1) ... 2^(bits-1) - 1, bits >= 2, group >= 1.
double absmax_integer_error(double variance, std::int64_t group, int bits);

/// Sign, `exponent` >= 1 and `mantissa` >= 0 bits, subnormals, no infinities or NaN: every code is a number.
double absmax_float_error(double variance, std::int64_t group, int exponent, int mantissa);

}  // namespace nearplane::lattice
