// columns to keep -> dense bits and price on a sample of the rows -> steps and codes of all rows -> measure.
#include "quant/quantize_sparse.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/check.h"
#include "lattice/error.h"
#include "quant/hessian_state.h"
#include "quant/measure.h"
#include "quant/sparse_search.h"

namespace nearplane {
namespace {

constexpr double kCertificateLimit = 1e-3;
constexpr double kMostBits = 32;
constexpr int kMostDense = 8, kLeastDense = 2, kDenseTried = 2;
constexpr std::int64_t kSampleRows = 512, kSampleShare = 8;  // at least; of more rows, one in kSampleShare
constexpr double kFarStride = 2, kNearStride = 0.1;          // octaves of the price

// How many columns of the largest pivots are best kept in 16 bits, if errors fall fourfold per bit.
std::int64_t columns_to_keep(const lattice::Factor& factor) {
  auto squares = factor.pivots;
  for (auto& p : squares) p *= p;
  std::sort(squares.begin(), squares.end());
  double left = total(squares), least = left;
  std::int64_t best = 0;
  for (std::int64_t count = 1; count < std::ssize(squares); ++count) {
    left -= squares[squares.size() - static_cast<std::size_t>(count)];
    const double bits = 16.0 * static_cast<double>(count) / static_cast<double>(factor.dimension);
    if (left * std::exp2(2 * bits) < least) least = left * std::exp2(2 * bits), best = count;
    if (bits > 1) break;
  }
  return best;
}

// The order of `factor` with the columns of the `count` largest pivots last: there they can make up for the errors of
// all others at no cost.
std::vector<std::int64_t> kept_last(const lattice::Factor& factor, std::int64_t count) {
  std::vector<std::int64_t> positions(factor.order.size());
  for (std::size_t k = 0; k < positions.size(); ++k) positions[k] = static_cast<std::int64_t>(k);
  std::stable_sort(positions.begin(), positions.end(),
                   [&](auto a, auto b) { return factor.pivots[a] > factor.pivots[b]; });
  std::vector<bool> last(positions.size());
  for (std::int64_t i = 0; i < count; ++i) last[positions[i]] = true;
  std::vector<std::int64_t> order;
  for (const bool wanted : {false, true})
    for (std::size_t k = 0; k < last.size(); ++k)
      if (last[k] == wanted) order.push_back(factor.order[k]);
  return order;
}

Matrix<float> every_row(const Matrix<float>& w, std::int64_t every) {
  Matrix<float> out((w.rows() + every - 1) / every, w.cols());
  for (std::int64_t i = 0; i < out.rows(); ++i) std::copy_n(w.row(i * every), w.cols(), out.row(i));
  return out;
}

// A way to write the layer, and what it gave on the sample.
struct Way {
  int bits = 0;
  double price = 0, error = INFINITY;
};

class SparseSolver {
 public:
  SparseSolver(const Matrix<float>& w, const Hessian::State& hessian, const GridOptions& options,
               const std::string& where)
      : w_(w),
        hessian_(hessian),
        target_(options.bits),
        group_(options.group == 0 ? w.cols() : options.group),
        every_(std::clamp(w.rows() / kSampleRows, std::int64_t{1}, kSampleShare)),
        sample_(every_row(w, every_)),
        where_(where) {
    if (group_ < 1 || w.cols() % group_ != 0)
      fail_input(where, "groups of {} do not divide {} columns", group_, w.cols());
  }

  // With the feedback in f32; where the certificate says that is not enough, in double.
  QuantizedLayer solve() {
    const auto& factor = hessian_.triangle.factor;
    if (!certify(hessian_.triangle))
      if (!certify(lattice::factorize<double>(hessian_.gram, factor.order, factor.damping)))
        fail_input(where_, "its weights are too far apart for nearest plane without a range: codes leave 16 bits");
    record_.rows = w_.rows(), record_.cols = w_.cols();
    QuantizedLayer out{std::move(tensor_), std::move(record_)};
    out.record.bits_per_weight = out.tensor.bits_per_weight();
    const double norm = record_error(hessian_, w_, total(direct_), out.record);
    out.record.bound = ratio(out.record.bound, norm);
    out.record.expectation = out.record.bound / 3;
    return out;
  }

 private:
  // Everything in one precision; false if it was not enough.
  template <class T>
  bool certify(const lattice::Triangle<T>& plain) {
    const SparseBasis<T> all_integers{plain, plain.factor, 0};
    auto best = look(all_integers);
    if (const auto keep = columns_to_keep(plain.factor); keep > 0) {
      const auto order = kept_last(plain.factor, keep);
      auto integers = lattice::factorize<T>(hessian_.gram, order, plain.factor.damping);
      const auto whole = integers.factor;
      integers.factor.order.resize(order.size() - keep), integers.factor.pivots.resize(order.size() - keep);
      const SparseBasis<T> some_kept{integers, whole, keep};
      const auto other = look(some_kept);
      if (other.error < best.error) return finish(some_kept, other);
    }
    return finish(all_integers, best);
  }

  // Dense bits and price on the sample: of the numbers of bits that can be filled, the best of the largest ones.
  template <class T>
  Way look(const SparseBasis<T>& basis) const {
    const SparseSearch<T> some(sample_.view(), basis, group_, where_);
    Way best;
    for (int bits = kMostDense, tried = 0; bits >= kLeastDense && tried < kDenseTried; --bits) {
      if (some.least_bits(bits) > target_) continue;
      const auto found = some.fill(bits, target_, some.likely_price(target_), kFarStride);
      if (!found) continue;
      ++tried;
      if (found->error() < best.error) best = {bits, found->price, found->error()};
    }
    return best;
  }

  template <class T>
  bool finish(const SparseBasis<T>& basis, const Way& way) {
    const SparseSearch<T> all(w_.view(), basis, group_, where_);
    std::optional<SparseCodes> found;
    for (int bits = way.bits; bits >= kLeastDense && !found; --bits)
      found = all.fill(bits, target_, way.price, kNearStride);
    if (!found) return explain(all);
    tensor_ = std::move(found->tensor);
    record_.bits = tensor_.bits;
    record_.bound = found->bound;
    const auto d = differences(w_, tensor_);
    direct_ = lattice::row_errors<double>(d.view(), hessian_.gram);
    record_.certificate = certificate(basis.whole, found->errors, direct_, d);
    return record_.certificate < kCertificateLimit || std::is_same_v<T, double>;
  }

  // Why nothing was found: bits out of reach, or (false) codes that do not fit.
  template <class T>
  bool explain(const SparseSearch<T>& all) const {
    const auto coarsest = all.coarsest(kLeastDense);
    if (!coarsest.sound) return false;
    if (coarsest.bits() > target_)
      fail_input(where_,
                 "{:.3f} bits per weight are out of reach of {} x {} weights in groups of {}: {:.3f} to {} are not",
                 target_, w_.rows(), w_.cols(), group_, coarsest.bits(), kMostBits);
    return false;
  }

  const Matrix<float>& w_;
  const Hessian::State& hessian_;
  const double target_;
  const std::int64_t group_, every_;
  const Matrix<float> sample_;
  const std::string& where_;
  SparseTensor tensor_;
  LayerRecord record_;
  std::vector<double> direct_;  // error of each row under the undamped H
};

}  // namespace

void check_sparse(const GridOptions& options, const std::string& where) {
  if (!(options.bits > kLeastDense && options.bits <= kMostBits))
    fail_input(where, "{} bits per weight are out of reach: more than {} and at most {} are not", options.bits,
               kLeastDense, kMostBits);
  if (options.solver != Solver::nearest_plane)
    fail_input(where, "K-best cannot be had without a range: ssqr takes nearest plane");
}

QuantizedLayer quantize_sparse(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                               const std::string& where) {
  check_sparse(options, where);
  check_weights(w, hessian.state().gram.cols(), where);
  return SparseSolver(w, hessian.state(), options, where).solve();
}

}  // namespace nearplane
