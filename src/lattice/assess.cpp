#include "lattice/assess.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/threads.h"
#include "kernel/gemm.h"

namespace nearplane::lattice {
namespace {

constexpr std::int64_t kRows = 128;   // of a task
constexpr std::int64_t kBlock = 128;  // positions of a product

template <class T>
class Assessment {
 public:
  Assessment(MatrixView<const float> w, const Triangle<T>& l, const Grid& grid, MatrixView<const std::uint8_t> codes,
             std::int64_t first_row)
      : w_(w), l_(l), grid_(grid), codes_(codes), first_row_(first_row) {}

  // Errors under H / unit^2 and the number of clipped codes.
  std::int64_t run(double unit, double* errors) {
    const auto rank = l_.factor.rank();
    Matrix<T> d(w_.rows, rank);
    for (std::int64_t r = 0; r < w_.rows; ++r)
      for (std::int64_t k = 0; k < rank; ++k) d(r, k) = difference(r, l_.factor.order[k]);
    auto product = Matrix<T>::uninitialized(w_.rows, kBlock);
    for (std::int64_t k0 = 0; k0 < rank; k0 += kBlock) {
      const auto k1 = std::min(rank, k0 + kBlock);
      gemm_nt(w_.rows, k1 - k0, k1, T{1}, d.data(), rank, l_.rows.row(k0), l_.rows.cols(), T{0}, product.data(),
              kBlock);
      for (std::int64_t r = 0; r < w_.rows; ++r)
        for (std::int64_t k = k0; k < k1; ++k) {
          const auto beside = static_cast<double>(product(r, k - k0));  // c_k - q_k
          const double e = l_.factor.pivots[k] / unit * beside;
          errors[r] += e * e;
          count(r, l_.factor.order[k], beside);
        }
    }
    std::vector<bool> decided(static_cast<std::size_t>(w_.cols));
    for (const auto j : l_.factor.order) decided[j] = true;
    for (std::int64_t j = 0; j < w_.cols; ++j)
      for (std::int64_t r = 0; r < w_.rows && !decided[j]; ++r) count(r, j, static_cast<double>(difference(r, j)));
    return clipped_;
  }

 private:
  T step(std::int64_t r, std::int64_t j) const { return static_cast<T>(grid_.step(first_row_ + r, j / grid_.group)); }
  T difference(std::int64_t r, std::int64_t j) const {
    const auto zero = static_cast<T>(grid_.zero(first_row_ + r, j / grid_.group));
    return static_cast<T>(w_(r, j)) - step(r, j) * (static_cast<T>(codes_(r, j)) - zero);
  }
  void count(std::int64_t r, std::int64_t j, double beside) {
    const auto code = codes_(r, j);
    if (code != 0 && code != grid_.max_code) return;
    const double steps = beside / static_cast<double>(step(r, j));
    if ((code == 0 && steps < -0.5) || (code == grid_.max_code && steps > 0.5)) ++clipped_;
  }

  MatrixView<const float> w_;
  const Triangle<T>& l_;
  const Grid& grid_;
  MatrixView<const std::uint8_t> codes_;
  std::int64_t first_row_, clipped_ = 0;
};

}  // namespace

template <class T>
Outcome assess(MatrixView<const float> w, const Triangle<T>& l, const Grid& grid,
               MatrixView<const std::uint8_t> codes) {
  assert(w.cols == l.factor.dimension && w.cols == codes.cols && w.rows == codes.rows && w.rows == grid.step.rows());
  const auto& pivots = l.factor.pivots;
  const double unit =  // so that squares fit a double
      pivots.empty() ? 1.0 : std::ldexp(1.0, std::ilogb(*std::max_element(pivots.begin(), pivots.end())));
  Outcome out;
  out.error.resize(static_cast<std::size_t>(w.rows));
  const auto tiles = (w.rows + kRows - 1) / kRows;
  std::vector<std::int64_t> clipped(static_cast<std::size_t>(tiles));
  parallel_for(tiles, [&](std::int64_t index) {
    const auto r0 = index * kRows, count = std::min(kRows, w.rows - r0);
    Assessment<T> tile(w.rows_at(r0, count), l, grid, codes.rows_at(r0, count), r0);
    clipped[index] = tile.run(unit, out.error.data() + r0);
    for (auto r = r0; r < r0 + count; ++r) out.error[r] *= unit * unit;
  });
  for (const auto count : clipped) out.clipped += count;
  return out;
}

template Outcome assess(MatrixView<const float>, const Triangle<float>&, const Grid&, MatrixView<const std::uint8_t>);
template Outcome assess(MatrixView<const float>, const Triangle<double>&, const Grid&, MatrixView<const std::uint8_t>);

}  // namespace nearplane::lattice
