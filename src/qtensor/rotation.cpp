#include "qtensor/rotation.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/threads.h"

namespace nearplane {
namespace {

constexpr double kPi = 3.141592653589793;
constexpr std::int64_t kRowsPerTask = 16;

// Sums and differences of pairs at distance 1, 2, 4, ..., n / 2; the first two, too close for vectors, in one pass.
template <class T>
void hadamard(T* x, std::int64_t n) {
  for (std::int64_t i = 0; i + 4 <= n; i += 4) {
    const T a = x[i] + x[i + 1], b = x[i] - x[i + 1], c = x[i + 2] + x[i + 3], d = x[i + 2] - x[i + 3];
    x[i] = a + c, x[i + 1] = b + d, x[i + 2] = a - c, x[i + 3] = b - d;
  }
  for (std::int64_t half = n < 4 ? 1 : 4; half < n; half *= 2)
    for (std::int64_t i = 0; i < n; i += 2 * half) {
      T* __restrict low = x + i;
      T* __restrict high = low + half;
      for (std::int64_t j = 0; j < half; ++j) {
        const T a = low[j], b = high[j];
        low[j] = a + b, high[j] = a - b;
      }
    }
}

template <class T, class F>
void each_row(MatrixView<T> x, const F& body) {
  parallel_for((x.rows + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    for (auto t = task * kRowsPerTask; t < std::min(x.rows, (task + 1) * kRowsPerTask); ++t) body(x.row(t));
  });
}

}  // namespace

std::int64_t odd_factor(std::int64_t n) {
  assert(n > 0);
  while (n % 2 == 0) n /= 2;
  return n;
}

Rotation::Rotation(std::int64_t n, Rng& signs) : odd_(odd_factor(n)), width_(n / odd_) {
  assert(odd_ <= kLargestOddFactor);
  std::uint64_t word = 0;
  for (std::int64_t j = 0; j < n; ++j, word >>= 1) {
    if (j % 64 == 0) word = signs.bits();
    sign_.push_back((word & 1) != 0 ? -1.0f : 1.0f);
  }
  const double scale = 1 / std::sqrt(static_cast<double>(n));
  for (std::int64_t i = 0; i < odd_; ++i)
    for (std::int64_t a = 0; a < odd_; ++a) {
      const auto quarter_turns = static_cast<double>((2 * a + 1) * i % (4 * odd_)) / static_cast<double>(odd_);
      mixer_.push_back(i == 0 ? scale : std::sqrt(2.0) * scale * std::cos(kPi / 2 * quarter_turns));
    }
}

// x[i][.] = sum over a of mixer(i, a) x[a][.]
template <class T>
void Rotation::mix(T* x, bool transposed) const {
  thread_local std::vector<T> copy;
  copy.assign(x, x + size());
  for (std::int64_t i = 0; i < odd_; ++i) {
    T* __restrict out = x + i * width_;
    std::fill_n(out, width_, T{0});
    for (std::int64_t a = 0; a < odd_; ++a) {
      const auto factor = static_cast<T>(transposed ? mixer_[a * odd_ + i] : mixer_[i * odd_ + a]);
      const T* __restrict in = copy.data() + a * width_;
      for (std::int64_t b = 0; b < width_; ++b) out[b] += factor * in[b];
    }
  }
}

template <class T>
void Rotation::apply(T* x) const {
  for (std::int64_t j = 0; j < size(); ++j) x[j] *= static_cast<T>(sign_[j]);
  for (std::int64_t a = 0; a < odd_; ++a) hadamard(x + a * width_, width_);
  mix(x, false);
}

template <class T>
void Rotation::apply_back(T* x) const {
  mix(x, true);
  for (std::int64_t a = 0; a < odd_; ++a) hadamard(x + a * width_, width_);
  for (std::int64_t j = 0; j < size(); ++j) x[j] *= static_cast<T>(sign_[j]);
}

template <class T>
void rotate_rows(const Rotation& r, MatrixView<T> x) {
  assert(x.cols == r.size());
  each_row(x, [&](T* row) { r.apply(row); });
}

template <class T>
void rotate_rows_back(const Rotation& r, MatrixView<T> x) {
  assert(x.cols == r.size());
  each_row(x, [&](T* row) { r.apply_back(row); });
}

template <class T>
Matrix<T> transposed(const Matrix<T>& x) {
  constexpr std::int64_t kTile = 16;  // a cache line of either side
  auto out = Matrix<T>::uninitialized(x.cols(), x.rows());
  parallel_for((x.cols() + kTile - 1) / kTile, [&](std::int64_t task) {
    const auto j1 = std::min(x.cols(), (task + 1) * kTile);
    for (std::int64_t i = 0; i < x.rows(); ++i)
      for (auto j = task * kTile; j < j1; ++j) out(j, i) = x(i, j);
  });
  return out;
}

template void Rotation::apply(float*) const;
template void Rotation::apply(double*) const;
template void Rotation::apply_back(float*) const;
template void Rotation::apply_back(double*) const;
template void rotate_rows(const Rotation&, MatrixView<float>);
template void rotate_rows(const Rotation&, MatrixView<double>);
template void rotate_rows_back(const Rotation&, MatrixView<float>);
template void rotate_rows_back(const Rotation&, MatrixView<double>);
template Matrix<float> transposed(const Matrix<float>&);
template Matrix<double> transposed(const Matrix<double>&);

}  // namespace nearplane
