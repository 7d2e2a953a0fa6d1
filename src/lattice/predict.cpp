#include "lattice/predict.h"

#include <cmath>

namespace nearplane::lattice {
namespace {

double normal_within(double t) { return std::erf(t / std::sqrt(2.0)); }

// E f(max |z_1..g|) for standard normal z: midpoint rule over the distribution function of the maximum.
template <class F>
double over_maximum(std::int64_t group, const F& f) {
  constexpr int kParts = 4000;
  constexpr double kEnd = 10;  // beyond it lies less than 1e-20
  double sum = 0, before = 0;
  for (int i = 1; i <= kParts; ++i) {
    const double t = kEnd * i / kParts, now = std::pow(normal_within(t), static_cast<double>(group));
    sum += (now - before) * f(t - kEnd / kParts / 2);
    before = now;
  }
  return sum;
}

// The weight that gave the scale is a level itself.
double others(std::int64_t group) { return static_cast<double>(group - 1) / static_cast<double>(group); }

}  // namespace

double absmax_integer_error(double variance, std::int64_t group, int bits) {
  const double levels = std::exp2(bits - 1) - 1;
  return others(group) * variance * over_maximum(group, [&](double t) { return t * t; }) / (levels * levels * 12);
}

double absmax_float_error(double variance, std::int64_t group, int exponent, int mantissa) {
  // In units of the smallest normal number: binades [2^e, 2^(e+1)) with step 2^(e - mantissa), subnormals like e = 0.
  const int binades = (1 << exponent) - 1;
  const double largest = std::exp2(binades - 1) * (2 - std::exp2(-mantissa));
  return others(group) * variance * over_maximum(group, [&](double t) {
           const double unit = t / largest;
           double sum = 0, before = 0;
           for (int e = 0; e < binades; ++e) {
             const double now = e + 1 == binades ? normal_within(t) : normal_within(unit * std::exp2(e + 1));
             const double step = unit * std::exp2(e - mantissa);
             sum += (now - before) * step * step / 12;
             before = now;
           }
           return sum / before;
         });
}

}  // namespace nearplane::lattice
