// Random numbers that are the same on every machine: SplitMix64 (Steele, Lea, Flood 2014), counter based.
// std:: distributions are not used because their output is not specified.
#pragma once

#include <cmath>
#include <cstdint>

namespace nearplane {

class Rng {
  __extension__ using Wide = unsigned __int128;

 public:
  explicit Rng(std::uint64_t seed) : state_(seed) {}

  /// 64 uniform bits.
  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  /// Uniform in [0, 1), 53 bits.
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  /// Uniform in [0, n), n > 0; bias below n / 2^64.
  std::uint64_t below(std::uint64_t n) { return static_cast<std::uint64_t>((static_cast<Wide>(bits()) * n) >> 64); }
  /// Standard normal (Box-Muller, one of the pair).
  double normal() {
    const double u = 1.0 - uniform(), v = uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v);
  }

 private:
  std::uint64_t state_;
};

}  // namespace nearplane
