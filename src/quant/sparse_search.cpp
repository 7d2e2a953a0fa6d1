#include "quant/sparse_search.h"

#include <algorithm>
#include <cmath>

#include "base/threads.h"
#include "codec/pack.h"
#include "lattice/bound.h"
#include "lattice/nearest_plane.h"
#include "quant/measure.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr int kTrials = 14;
constexpr double kFarthest = 50;      // octaves of the price
constexpr double kTolerance = 0.003;  // bits per weight

// Where to look next, in octaves of the price.
class Bracket {
 public:
  Bracket(double target, double stride) : target_(target - kTolerance / 2), stride_(stride) {}

  double next(double x, bool fits, double bits) {
    (fits ? high_ : low_) = x, (fits ? high_bits_ : low_bits_) = bits;
    if (std::isinf(high_) || std::isinf(low_)) {
      const double step = fits ? -stride_ : stride_;
      stride_ *= 2;
      return x + step;
    }
    const double t = (low_bits_ - target_) / (low_bits_ - high_bits_);
    return low_ + (high_ - low_) * (t >= 0.1 ? std::min(t, 0.9) : 0.1);
  }

 private:
  double target_, stride_;
  double low_ = -INFINITY, high_ = INFINITY, low_bits_ = 0, high_bits_ = 0;  // too many bits; few enough
};

// The half of the distance from a 16-bit float to its neighbours.
double half_ulp(std::uint16_t h) { return std::max(0x1p-25, 0x1p-11 * std::abs(static_cast<double>(f16_to_f32(h)))); }

std::vector<double> squares_by_column(const lattice::Factor& factor) {
  std::vector<double> out(static_cast<std::size_t>(factor.dimension));
  for (std::int64_t k = 0; k < factor.rank(); ++k) out[factor.order[k]] = factor.pivots[k] * factor.pivots[k];
  return out;
}

template <class T>
std::vector<std::int32_t> kept_columns(const SparseBasis<T>& basis) {
  std::vector<std::int32_t> out;
  for (auto k = basis.whole.rank() - basis.kept; k < basis.whole.rank(); ++k)
    out.push_back(static_cast<std::int32_t>(basis.whole.order[k]));
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::int64_t> columns_outside(const lattice::Factor& factor) {
  std::vector<bool> inside(static_cast<std::size_t>(factor.dimension));
  for (const auto j : factor.order) inside[j] = true;
  std::vector<std::int64_t> out;
  for (std::int64_t j = 0; j < factor.dimension; ++j)
    if (!inside[j]) out.push_back(j);
  return out;
}

Matrix<float> without(MatrixView<const float> w, const std::vector<std::int32_t>& columns) {
  auto out = Matrix<float>::uninitialized(w.rows, w.cols);
  for (std::int64_t i = 0; i < w.rows; ++i) {
    std::copy_n(w.row(i), w.cols, out.row(i));
    for (const auto j : columns) out(i, j) = 0;
  }
  return out;
}

}  // namespace

double SparseCodes::bits() const {
  return 8.0 * static_cast<double>(tensor.stored_bytes()) / static_cast<double>(tensor.rows * tensor.cols);
}

double SparseCodes::error() const { return total(errors); }

template <class T>
SparseSearch<T>::SparseSearch(MatrixView<const float> w, const SparseBasis<T>& basis, std::int64_t group,
                              const std::string& where)
    : w_(w),
      basis_(basis),
      group_(group),
      where_(where),
      kept_columns_(kept_columns(basis)),
      dead_columns_(columns_outside(basis.whole)),
      integer_weights_(without(w, kept_columns_)),
      steps_(integer_weights_.view(), squares_by_column(basis.integers.factor), group) {
  for (auto k = basis.integers.factor.rank(); k < basis.whole.rank(); ++k)
    kept_place_.push_back(std::lower_bound(kept_columns_.begin(), kept_columns_.end(), basis.whole.order[k]) -
                          kept_columns_.begin());
}

template <class T>
SparseCodes SparseSearch<T>::at(double price, int bits) const {
  SparseCodes out;
  out.price = price;
  const auto grid = steps_.at(price, bits, where_);
  Matrix<std::int16_t> codes(w_.rows, w_.cols);
  auto outcome = lattice::nearest_plane(integer_weights_.view(), basis_.integers, grid, codes.view());
  const auto end = static_cast<std::int16_t>((1 << (bits - 1)) - 1);
  for (const auto j : dead_columns_)  // not worth an entry in the list
    for (std::int64_t i = 0; i < codes.rows(); ++i)
      codes(i, j) = std::clamp(codes(i, j), static_cast<std::int16_t>(-end), end);
  out.errors = std::move(outcome.error);
  const auto kept = keep(codes.view(), grid, out.errors);
  out.tensor = pack_sparse({codes.view(), grid.step.view(), kept_columns_, kept.view()}, bits, group_);
  out.bound = bound(out, grid);
  out.sound = outcome.clipped == 0 && std::isfinite(out.error());
  return out;
}

// The kept columns, decided last: what the others left undone, rounded to 16 bits.
template <class T>
Matrix<std::uint16_t> SparseSearch<T>::keep(MatrixView<const std::int16_t> codes, const lattice::Grid& grid,
                                            std::vector<double>& errors) const {
  const auto& l = basis_.integers.rows;
  const auto& order = basis_.whole.order;
  const auto rank = basis_.integers.factor.rank();
  Matrix<std::uint16_t> out(w_.rows, basis_.kept);
  if (basis_.kept == 0) return out;
  parallel_for(w_.rows, [&](std::int64_t i) {
    std::vector<double> d;  // w - q by position
    for (std::int64_t k = 0; k < basis_.whole.rank(); ++k) {
      const auto j = order[k];
      const double w = static_cast<double>(w_(i, j));
      if (k < rank) {
        d.push_back(w - static_cast<double>(grid.step(i, j / group_)) * codes(i, j));
        continue;
      }
      double target = w;
      for (std::int64_t p = 0; p < k; ++p) target += static_cast<double>(l(k, p)) * d[p];
      auto& kept = out(i, kept_place_[k - rank]);
      kept = f32_to_f16(static_cast<float>(target));
      const double q = static_cast<double>(f16_to_f32(kept)), e = basis_.whole.pivots[k] * (target - q);
      d.push_back(w - q);
      errors[i] += e * e;
    }
  });
  return out;
}

template <class T>
double SparseSearch<T>::bound(const SparseCodes& found, const lattice::Grid& grid) const {
  const auto rank = basis_.integers.factor.rank();
  double sum = lattice::error_bound(basis_.integers.factor, grid);
  for (std::int64_t i = 0; i < w_.rows; ++i)
    for (std::int64_t k = 0; k < basis_.kept; ++k) {
      const double e = basis_.whole.pivots[rank + k] * half_ulp(found.tensor.kept[i * basis_.kept + kept_place_[k]]);
      sum += e * e;
    }
  return sum;
}

template <class T>
double SparseSearch<T>::least_bits(int bits) const {
  const auto bytes = packed_row_bytes(w_.cols, bits) + 2 * (w_.cols / group_) + 2 * basis_.kept;
  return 8.0 * static_cast<double>(bytes) / static_cast<double>(w_.cols);
}

template <class T>
double SparseSearch<T>::likely_price(double target) const {
  // At rate R errors are about 4^-R of the weights; an entry of 10 bits should save what 10 bits save elsewhere.
  return 10 * 2 * std::log(2.0) * steps_.scale() * std::exp2(-2 * target);
}

template <class T>
std::optional<SparseCodes> SparseSearch<T>::fill(int bits, double target, double price, double stride) const {
  std::optional<SparseCodes> best;
  Bracket bracket(target, stride);
  const double start = price > 0 ? std::log2(price) : 0.0;
  double x = start;
  for (int i = 0; i < kTrials && std::abs(x - start) < kFarthest; ++i) {
    auto found = at(std::exp2(x), bits);
    const bool fits = found.sound && found.bits() <= target;
    x = bracket.next(x, fits, found.bits());
    if (!fits || (best && found.error() >= best->error())) continue;
    best = std::move(found);
    if (best->error() == 0 || target - best->bits() < kTolerance) break;
  }
  return best;
}

template class SparseSearch<float>;
template class SparseSearch<double>;

}  // namespace nearplane
