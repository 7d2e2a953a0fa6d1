// Random orthogonal matrices that are applied, not stored: signs and a fast transform.
// Problem: x [n] -> K D x. D: a random sign for every coordinate. K = C (x) S with n = p 2^k, p odd: C the orthonormal
//   DCT-II of p coordinates, S the Hadamard matrix of 2^k (x[a 2^k + b]: C acts on a, S on b). No entry of K is larger
//   than sqrt(2 / n), so whatever stood out in few coordinates is spread over all of them.
// Source: Chee et al., arXiv 2307.13304 (rotating W and H to make them incoherent), with signs and a fast Hadamard
//   transform as in its successor (Tseng et al., arXiv 2402.04396); the factor C for other sizes is ours.
// Cost: n (k + p) operations a vector.
#pragma once

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "tensor/matrix.h"

namespace nearplane {

inline constexpr std::int64_t kLargestOddFactor = 1023;  // C is a dense matrix

/// The odd part of n > 0; sizes with one above kLargestOddFactor have no rotation.
std::int64_t odd_factor(std::int64_t n);

class Rotation {
 public:
  /// Takes ceil(n / 64) words of `signs`; bit j mod 64 of word j div 64 is set where coordinate j changes its sign.
  Rotation(std::int64_t n, Rng& signs);
  std::int64_t size() const { return static_cast<std::int64_t>(sign_.size()); }

  /// x [n] -> K D x, and back: D K^T x.
  template <class T>
  void apply(T* x) const;
  template <class T>
  void apply_back(T* x) const;

 private:
  template <class T>
  void mix(T* x, bool transposed) const;

  std::int64_t odd_, width_;   // n = odd_ x width_
  std::vector<float> sign_;    // [n]
  std::vector<double> mixer_;  // [odd_][odd_] C / sqrt(width_)
};

/// Every row of x [T, n], on all threads.
template <class T>
void rotate_rows(const Rotation& r, MatrixView<T> x);
template <class T>
void rotate_rows_back(const Rotation& r, MatrixView<T> x);

template <class T>
Matrix<T> transposed(const Matrix<T>& x);

}  // namespace nearplane
