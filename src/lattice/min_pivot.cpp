// Elimination from the last place to the first, right-looking by blocks as in LAPACK's pivoted Cholesky: inside a block
// only the diagonal and the eliminated columns are brought up to date; after it one product updates the rest, which is
// gathered so that it stays dense.
#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "kernel/gemm.h"
#include "lattice/order.h"

namespace nearplane::lattice {
namespace {

constexpr std::int64_t kBlock = 64;
constexpr std::int64_t kRowTile = 256;

class Elimination {
 public:
  Elimination(const Matrix<double>& h, std::vector<std::int64_t> columns, double shift) : columns_(std::move(columns)) {
    const auto r = std::ssize(columns_);
    rest_ = Matrix<double>::uninitialized(r, r);
    parallel_for(r, [&](std::int64_t i) {  // columns_ ascends, so the lower triangle stays the lower triangle
      for (std::int64_t j = 0; j <= i; ++j) rest_(i, j) = h(columns_[i], columns_[j]);
      rest_(i, i) += shift;
    });
    for (std::int64_t i = 0; i < r; ++i) diagonal_.push_back(rest_(i, i));
    // What rounding leaves of a diagonal entry that the others explain fully.
    const double largest = r > 0 ? *std::max_element(diagonal_.begin(), diagonal_.end()) : 0.0;
    noise_ = 1e-15 * static_cast<double>(r) * largest;
  }

  std::vector<std::int64_t> run() {
    std::vector<std::int64_t> last_first;
    while (!columns_.empty()) eliminate_block(last_first);
    std::reverse(last_first.begin(), last_first.end());
    return last_first;
  }

 private:
  void eliminate_block(std::vector<std::int64_t>& out) {
    const auto r = std::ssize(columns_), steps = std::min(kBlock, r);
    std::vector<bool> done(static_cast<std::size_t>(r));
    auto block = Matrix<double>(r, kBlock);  // eliminated columns over the root of their pivot
    for (std::int64_t t = 0; t < steps; ++t) {
      const auto p = smallest(done);
      done[p] = true;
      out.push_back(columns_[p]);
      eliminate(p, t, done, block);
    }
    gather(done, block);
  }

  // Of equal entries the last.
  std::int64_t smallest(const std::vector<bool>& done) const {
    std::int64_t best = -1;
    for (std::int64_t i = 0; i < std::ssize(diagonal_); ++i)
      if (!done[i] && (best < 0 || diagonal_[i] <= diagonal_[best])) best = i;
    return best;
  }

  void eliminate(std::int64_t p, std::int64_t t, const std::vector<bool>& done, Matrix<double>& block) {
    if (!(diagonal_[p] > noise_)) return;  // nothing of it is left to explain the others with
    const double root = std::sqrt(diagonal_[p]);
    parallel_for((std::ssize(done) + kRowTile - 1) / kRowTile, [&](std::int64_t tile) {
      const auto end = std::min(std::ssize(done), (tile + 1) * kRowTile);
      for (std::int64_t i = tile * kRowTile; i < end; ++i) {
        if (done[i]) continue;
        double c = i > p ? rest_(i, p) : rest_(p, i);
        for (std::int64_t s = 0; s < t; ++s) c -= block(i, s) * block(p, s);
        block(i, t) = c / root;
        diagonal_[i] -= block(i, t) * block(i, t);
      }
    });
  }

  void gather(const std::vector<bool>& done, const Matrix<double>& block) {
    std::vector<std::int64_t> left;
    for (std::int64_t i = 0; i < std::ssize(done); ++i)
      if (!done[i]) left.push_back(i);
    const auto r = std::ssize(left);
    auto rest = Matrix<double>::uninitialized(r, r), rows = Matrix<double>::uninitialized(r, kBlock);
    for (std::int64_t i = 0; i < r; ++i) std::copy_n(block.row(left[i]), kBlock, rows.row(i));
    parallel_for((r + kRowTile - 1) / kRowTile, [&](std::int64_t tile) {
      const auto r0 = tile * kRowTile, count = std::min(kRowTile, r - r0);
      for (std::int64_t i = r0; i < r0 + count; ++i)
        for (std::int64_t j = 0; j < r0 + count; ++j) rest(i, j) = j <= i ? rest_(left[i], left[j]) : 0.0;
      gemm_nt(count, r0 + count, kBlock, -1.0, rows.row(r0), kBlock, rows.data(), kBlock, 1.0, rest.row(r0), r);
    });
    for (std::int64_t i = 0; i < r; ++i) columns_[i] = columns_[left[i]], diagonal_[i] = diagonal_[left[i]];
    columns_.resize(static_cast<std::size_t>(r)), diagonal_.resize(static_cast<std::size_t>(r));
    rest_ = std::move(rest);
  }

  std::vector<std::int64_t> columns_;  // that are left, ascending
  Matrix<double> rest_;                // their Schur complement before this block, lower triangle
  std::vector<double> diagonal_;       // of the Schur complement now
  double noise_ = 0;
};

}  // namespace

std::vector<std::int64_t> min_pivot_order(const Matrix<double>& h, double shift) {
  return Elimination(h, natural_order(h), shift).run();
}

}  // namespace nearplane::lattice
