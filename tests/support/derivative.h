// For tests: gradients by finite differences, in double.
#pragma once

namespace nearplane {

/// The derivative of f() with respect to `x`, which f reads: a central difference, its error of the order of 1e-9 for
/// functions and arguments of order one.
template <class F>
double derivative(const F& f, double& x) {
  constexpr double kStep = 1e-5;
  const double at = x;
  x = at + kStep;
  const double above = f();
  x = at - kStep;
  const double below = f();
  x = at;
  return (above - below) / (2 * kStep);
}

}  // namespace nearplane
