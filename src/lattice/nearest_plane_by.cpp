// Columns in blocks: the feedback of earlier blocks by one product, that of the block itself as it is decided.
#include "lattice/nearest_plane_by.h"

#include <algorithm>
#include <cassert>

#include "base/threads.h"
#include "kernel/gemm.h"

namespace nearplane::lattice {
namespace {

constexpr std::int64_t kRows = 64, kBlock = 64;

// Rows [r0, r0 + count) of w.
template <class T>
class RowsInTurn {
 public:
  RowsInTurn(MatrixView<const float> w, const Triangle<T>& l, const Quantize& quantize, MatrixView<float> q,
             std::int64_t r0, std::int64_t count)
      : w_(w), l_(l), quantize_(quantize), q_(q), r0_(r0), d_(count, l.factor.rank()), feedback_(count, kBlock) {}

  void run(double* errors) {
    const auto rank = l_.factor.rank();
    for (std::int64_t k0 = 0; k0 < rank; k0 += kBlock) {
      const auto k1 = std::min(rank, k0 + kBlock);
      if (k0 > 0)
        gemm_nt(d_.rows(), k1 - k0, k0, T{1}, d_.data(), rank, l_.rows.row(k0), l_.rows.cols(), T{0}, feedback_.data(),
                kBlock);
      for (std::int64_t r = 0; r < d_.rows(); ++r)
        for (auto k = k0; k < k1; ++k) errors[r] += decide(r, k0, k);
    }
  }

 private:
  // The squared error coordinate of position k.
  double decide(std::int64_t r, std::int64_t k0, std::int64_t k) {
    const auto column = l_.factor.order[k];
    const T* d = d_.row(r);
    T c = static_cast<T>(w_(r0_ + r, column)) + feedback_(r, k - k0);
    for (auto j = k0; j < k; ++j) c += l_.rows(k, j) * d[j];
    const float q = quantize_(r0_ + r, column, static_cast<double>(c));
    q_(r0_ + r, column) = q;
    d_(r, k) = static_cast<T>(w_(r0_ + r, column)) - static_cast<T>(q);
    const double e = l_.factor.pivots[k] * static_cast<double>(c - static_cast<T>(q));
    return e * e;
  }

  MatrixView<const float> w_;
  const Triangle<T>& l_;
  const Quantize& quantize_;
  MatrixView<float> q_;
  std::int64_t r0_;
  Matrix<T> d_, feedback_;  // w - q by position; of the block at hand
};

}  // namespace

template <class T>
std::vector<double> nearest_plane_by(MatrixView<const float> w, const Triangle<T>& l, const Quantize& quantize,
                                     MatrixView<float> q) {
  assert(w.cols == l.factor.dimension && w.cols == q.cols && w.rows == q.rows);
  std::vector<bool> decided(static_cast<std::size_t>(w.cols));
  for (const auto j : l.factor.order) decided[j] = true;
  std::vector<double> errors(static_cast<std::size_t>(w.rows));
  parallel_for((w.rows + kRows - 1) / kRows, [&](std::int64_t tile) {
    const auto r0 = tile * kRows, count = std::min(kRows, w.rows - r0);
    RowsInTurn<T>(w, l, quantize, q, r0, count).run(errors.data() + r0);
    for (auto r = r0; r < r0 + count; ++r)
      for (std::int64_t j = 0; j < w.cols; ++j)
        if (!decided[j]) q(r, j) = quantize(r, j, static_cast<double>(w(r, j)));
  });
  return errors;
}

template std::vector<double> nearest_plane_by(MatrixView<const float>, const Triangle<float>&, const Quantize&,
                                              MatrixView<float>);
template std::vector<double> nearest_plane_by(MatrixView<const float>, const Triangle<double>&, const Quantize&,
                                              MatrixView<float>);

}  // namespace nearplane::lattice
