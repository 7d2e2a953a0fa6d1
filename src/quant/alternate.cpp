// Group after group: the gradient of its columns is one product with everything as it stands, and is kept right within
// the group by small ones. Rows are independent: tiles, transposed so that rows are neighbours in memory.
#include "quant/alternate.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "base/threads.h"
#include "kernel/gemm.h"
#include "quant/alternate_tile.h"

namespace nearplane {
namespace {

constexpr std::int64_t kLeaf = 64;  // columns descended without products in between
constexpr int kTurns = 2;           // steps and codes in turn within a group; a third gains less than 0.1 %
constexpr std::int64_t kRows = kAlternateRows;

template <class T>
class Alternation {
 public:
  Alternation(MatrixView<const float> w, const Metric<T>& metric, lattice::Grid& grid, MatrixView<std::uint8_t> codes,
              std::int64_t first_row)
      : metric_(metric),
        grid_(grid),
        codes_(codes),
        first_row_(first_row),
        w_(w.cols, kRows),
        difference_(w.cols, kRows),
        code_(w.cols, kRows),
        step_(grid.step.cols(), kRows),
        zero_(grid.step.cols(), kRows),
        gradient_(Matrix<T>::uninitialized(grid.group, kRows)),
        change_(Matrix<T>::uninitialized(grid.group, kRows)),
        product_(Matrix<T>::uninitialized(grid.group, kRows)),
        offset_(Matrix<T>::uninitialized(grid.group, kRows)) {
    for (auto& s : step_.span()) s = 1;
    for (std::int64_t g = 0; g < step_.rows(); ++g)
      for (std::int64_t r = 0; r < w.rows; ++r) {
        step_(g, r) = static_cast<T>(grid.step(first_row + r, g));
        zero_(g, r) = static_cast<T>(grid.zero(first_row + r, g));
      }
    for (std::int64_t r0 = 0; r0 < w.rows; r0 += 16)  // a cache line of the transposed arrays at a time
      for (std::int64_t j = 0; j < w.cols; ++j)
        for (std::int64_t r = r0; r < std::min(w.rows, r0 + 16); ++r) {
          const auto g = j / grid.group;
          w_(j, r) = static_cast<T>(w(r, j));
          code_(j, r) = static_cast<T>(codes(r, j));
          difference_(j, r) = w_(j, r) - step_(g, r) * (code_(j, r) - zero_(g, r));
        }
  }

  void sweep() {
    for (std::int64_t g = 0; g < step_.rows(); ++g) {
      tile_ = {.first = g * grid_.group,
               .columns = grid_.group,
               .h = metric_.h.data(),
               .stride = metric_.h.cols(),
               .inverse = metric_.inverse.data(),
               .w = w_.data(),
               .difference = difference_.data(),
               .code = code_.data(),
               .step = step_.row(g),
               .zero = zero_.row(g),
               .gradient = gradient_.data(),
               .change = change_.data(),
               .product = product_.data(),
               .max_code = static_cast<T>(grid_.max_code)};
      multiply(tile_.first, tile_.first + tile_.columns, 0, metric_.h.cols(), difference_.data(), T{0},
               gradient_.data());
      for (int turn = 0; turn < kTurns; ++turn) {
        fit_step();
        descend_group();
      }
    }
  }

  void write() {
    for (std::int64_t g = 0; g < step_.rows(); ++g)
      for (std::int64_t r = 0; r < codes_.rows; ++r) grid_.step(first_row_ + r, g) = static_cast<float>(step_(g, r));
    for (std::int64_t r0 = 0; r0 < codes_.rows; r0 += 16)
      for (std::int64_t j = 0; j < codes_.cols; ++j)
        for (std::int64_t r = r0; r < std::min(codes_.rows, r0 + 16); ++r)
          codes_(r, j) = static_cast<std::uint8_t>(code_(j, r));
  }

 private:
  // out[k1 - k0][kRows] = beta out + H[k0:k1, j0:j1] x, x [j1 - j0][kRows]
  void multiply(std::int64_t k0, std::int64_t k1, std::int64_t j0, std::int64_t j1, const T* x, T beta, T* out) {
    gemm_nn(k1 - k0, kRows, j1 - j0, T{1}, metric_.h.row(k0) + j0, metric_.h.cols(), x, kRows, beta, out, kRows);
  }

  void fit_step() {
    for (std::int64_t j = 0; j < tile_.columns; ++j)
      for (std::int64_t r = 0; r < kRows; ++r) offset_(j, r) = code_(tile_.first + j, r) - tile_.zero[r];
    multiply(tile_.first, tile_.first + tile_.columns, tile_.first, tile_.first + tile_.columns, offset_.data(), T{0},
             product_.data());
    refit(tile_);
  }

  void descend_group() {
    const auto first = tile_.first, end = first + tile_.columns;
    for (auto k0 = first; k0 < end; k0 += kLeaf) {
      const auto k1 = std::min(end, k0 + kLeaf);
      descend(tile_, k0, k1);
      multiply(k1, end, k0, k1, change_.row(k0 - first), T{1}, gradient_.row(k1 - first));  // for leaves to come
      multiply(first, k1, k0, k1, change_.row(k0 - first), T{1}, gradient_.data());         // for the next turn
    }
  }

  const Metric<T>& metric_;
  lattice::Grid& grid_;
  MatrixView<std::uint8_t> codes_;
  std::int64_t first_row_;
  Matrix<T> w_, difference_, code_, step_, zero_;
  Matrix<T> gradient_, change_, product_, offset_;  // of a group
  AlternateTile<T> tile_;
};

}  // namespace

template <class T>
Metric<T>::Metric(const Matrix<double>& gram, const lattice::Factor& factor)
    : h(gram.cols(), gram.cols()), inverse(static_cast<std::size_t>(gram.cols())) {
  double largest = 0;
  for (const auto j : factor.order) largest = std::max(largest, gram(j, j) + factor.shift);
  const double scale = largest > 0 ? std::ldexp(1.0, -std::ilogb(largest)) : 1.0;
  std::vector<double> enters(inverse.size());
  for (const auto j : factor.order) enters[j] = scale;
  parallel_for(h.rows(), [&](std::int64_t i) {
    for (std::int64_t j = 0; j < h.cols(); ++j) {
      const double value = (i >= j ? gram(i, j) : gram(j, i)) + (i == j ? factor.shift : 0.0);
      h(i, j) = enters[i] > 0 ? static_cast<T>(enters[j] * value) : T{0};
    }
    if (h(i, i) >= std::numeric_limits<T>::min()) inverse[i] = 1 / h(i, i);  // below, columns stay as they are
  });
}

template <class T>
void alternate(MatrixView<const float> w, const Metric<T>& metric, int rounds, lattice::Grid& grid,
               MatrixView<std::uint8_t> codes) {
  assert(w.cols == metric.h.cols() && w.rows == codes.rows && w.cols == codes.cols && w.rows == grid.step.rows());
  parallel_for((w.rows + kRows - 1) / kRows, [&](std::int64_t index) {
    const auto r0 = index * kRows, count = std::min(kRows, w.rows - r0);
    Alternation<T> tile(w.rows_at(r0, count), metric, grid, codes.rows_at(r0, count), r0);
    for (int round = 0; round < rounds; ++round) tile.sweep();
    tile.write();
  });
}

template struct Metric<float>;
template struct Metric<double>;
template void alternate(MatrixView<const float>, const Metric<float>&, int, lattice::Grid&, MatrixView<std::uint8_t>);
template void alternate(MatrixView<const float>, const Metric<double>&, int, lattice::Grid&, MatrixView<std::uint8_t>);

}  // namespace nearplane
