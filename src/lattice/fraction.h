// Exact rational numbers for small cases: numerator and denominator of 128 bits, lowest terms, denominator positive.
// Nothing wraps: what does not fit is an Error{numerical}.
#pragma once

#include <cstdint>

#include "base/check.h"

namespace nearplane::lattice {

class Fraction {
  __extension__ using Wide = __int128;

 public:
  Fraction(std::int64_t value = 0) : over_(value) {}  // implicit: integers are fractions
  Fraction(std::int64_t over, std::int64_t under) : Fraction(reduced(over, under)) {}

  Fraction operator-() const { return reduced(times(over_, -1), under_); }
  friend Fraction operator+(const Fraction& a, const Fraction& b) {
    const Wide common = gcd(a.under_, b.under_);
    const Wide left = times(a.over_, b.under_ / common), right = times(b.over_, a.under_ / common);
    return reduced(plus(left, right), times(a.under_, b.under_ / common));
  }
  friend Fraction operator-(const Fraction& a, const Fraction& b) { return a + -b; }
  friend Fraction operator*(const Fraction& a, const Fraction& b) {
    const Fraction left = reduced(a.over_, b.under_), right = reduced(b.over_, a.under_);  // keeps products small
    return reduced(times(left.over_, right.over_), times(left.under_, right.under_));
  }
  friend Fraction operator/(const Fraction& a, const Fraction& b) { return a * reduced(b.under_, b.over_); }
  Fraction& operator+=(const Fraction& b) { return *this = *this + b; }
  Fraction& operator-=(const Fraction& b) { return *this = *this - b; }
  Fraction& operator/=(const Fraction& b) { return *this = *this / b; }
  friend bool operator==(const Fraction&, const Fraction&) = default;

  explicit operator double() const { return static_cast<double>(over_) / static_cast<double>(under_); }
  bool positive() const { return over_ > 0; }

  /// The integer nearest to it, the even one of two.
  std::int64_t nearest() const {
    const Wide twice = plus(times(2, over_), under_), full = times(2, under_);  // floor(x + 1/2)
    Wide below = twice / full - (twice % full < 0 ? 1 : 0);
    if (twice % full == 0 && below % 2 != 0) --below;
    if (below != static_cast<std::int64_t>(below)) overflow();
    return static_cast<std::int64_t>(below);
  }
  /// Whether two integers are equally near.
  bool tie() const { return under_ == 2; }

 private:
  [[noreturn]] static void overflow() {
    throw Error(ErrorCode::numerical, "a fraction does not fit into 128 bits", "exact arithmetic");
  }
  static Wide times(Wide a, Wide b) {
    Wide out;
    if (__builtin_mul_overflow(a, b, &out)) overflow();
    return out;
  }
  static Wide plus(Wide a, Wide b) {
    Wide out;
    if (__builtin_add_overflow(a, b, &out)) overflow();
    return out;
  }
  static Wide gcd(Wide a, Wide b) {
    while (b != 0) {
      const Wide rest = a % b;
      a = b, b = rest;
    }
    return a < 0 ? times(a, -1) : a;
  }
  static Fraction reduced(Wide over, Wide under) {
    if (under == 0) throw Error(ErrorCode::numerical, "division by zero", "exact arithmetic");
    const Wide common = times(gcd(over, under), under < 0 ? -1 : 1);
    Fraction out;
    out.over_ = over / common, out.under_ = under / common;
    return out;
  }

  Wide over_ = 0, under_ = 1;
};

}  // namespace nearplane::lattice
