#include "lattice/bound.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

#include "kernel/lapack.h"
#include "lattice/order.h"

namespace nearplane::lattice {
namespace {

// Sums over the eigenvalues up to each one, so that a water level costs one search per row.
class Water {
 public:
  Water(std::vector<double> lambda, std::span<const double> variances)
      : values_(std::move(lambda)), variances_(variances) {
    std::sort(values_.begin(), values_.end());
    dry_.push_back(0), logs_.push_back(0);
    for (std::size_t j = 0; j < values_.size(); ++j) {
      dry_.push_back(dry_[j] + values_[j]);
      logs_.push_back(logs_[j] + (values_[j] > 0 ? std::log2(values_[j]) : 0.0));
    }
  }

  double rate(double level) const {
    double bits = 0;
    for (const double v : variances_) {
      if (!(v > 0)) continue;
      const auto j = below(level / v);
      bits += (logs_.back() - logs_[j] - wet(j) * std::log2(level / v)) / 2;
    }
    return bits;
  }

  double error(double level) const {
    double sum = 0;
    for (const double v : variances_) {
      if (!(v > 0)) continue;
      const auto j = below(level / v);
      sum += v * dry_[j] + wet(j) * level;
    }
    return sum;
  }

  double highest() const {
    return values_.empty() || variances_.empty()
               ? 0.0
               : values_.back() * *std::max_element(variances_.begin(), variances_.end());
  }

 private:
  // How many eigenvalues lie at or below the level.
  std::size_t below(double level) const {
    return static_cast<std::size_t>(std::upper_bound(values_.begin(), values_.end(), level) - values_.begin());
  }

  double wet(std::size_t below) const { return static_cast<double>(values_.size() - below); }

  std::vector<double> values_;  // ascending
  std::span<const double> variances_;
  std::vector<double> dry_, logs_;
};

}  // namespace

double error_bound(const Factor& factor, const Grid& grid) {
  std::vector<double> weight(static_cast<std::size_t>(grid.step.cols()));  // sum of L_kk^2 over the columns of a group
  for (std::int64_t k = 0; k < factor.rank(); ++k)
    weight[factor.order[k] / grid.group] += factor.pivots[k] * factor.pivots[k];
  double sum = 0;
  for (std::int64_t i = 0; i < grid.step.rows(); ++i)
    for (std::int64_t g = 0; g < grid.step.cols(); ++g) {
      const auto s = static_cast<double>(grid.step(i, g));
      sum += s * s * weight[g];
    }
  return sum / 4;
}

double log_determinant(const Factor& factor) {
  double sum = 0;
  for (const double pivot : factor.pivots) sum += 2 * std::log(pivot);
  return sum;
}

std::vector<double> eigenvalues(const Matrix<double>& h) {
  auto values = symmetric_eigenvalues(h.clone());
  for (auto& value : values) value = std::max(value, 0.0);
  return values;
}

std::vector<double> squared_pivots(const Matrix<double>& h) {
  const auto factor = factorize<float>(h, natural_order(h), 0).factor;
  std::vector<double> out(static_cast<std::size_t>(h.cols()));
  if (factor.repairs > 1) return out;  // more added than counts as nothing
  for (std::int64_t k = 0; k < factor.rank(); ++k) out[factor.order[k]] = factor.pivots[k] * factor.pivots[k];
  return out;
}

double error_limit(std::vector<double> lambda, std::span<const double> variances, double bits) {
  assert(bits >= 0);
  const double budget = bits * static_cast<double>(lambda.size()) * static_cast<double>(variances.size());
  const Water water(std::move(lambda), variances);
  const double highest = water.highest();
  if (!(highest > 0)) return 0;
  // The rate falls with the level; a level 1100 binary digits below the highest component counts as zero.
  double low = std::log2(highest) - 1100, high = std::log2(highest);
  if (water.rate(std::exp2(low)) <= budget) return 0;
  for (int i = 0; i < 100 && high - low > 1e-13 * std::max(1.0, std::abs(low)); ++i) {
    const double middle = (low + high) / 2;
    (water.rate(std::exp2(middle)) > budget ? low : high) = middle;
  }
  return water.error(std::exp2(high));
}

}  // namespace nearplane::lattice
