// Lanczos from a random unit vector v turns h into a small tridiagonal matrix whose eigenvalues, weighted by the
// squared first components of its eigenvectors, integrate polynomials of degree 2 steps - 1 against the spectrum as v
// sees it.
#include "lattice/spectrum.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "base/threads.h"
#include "kernel/gemm.h"
#include "kernel/lapack.h"

namespace nearplane::lattice {
namespace {

constexpr std::int64_t kExactUpTo = 128;
constexpr std::int64_t kProbes = 32;
constexpr std::int64_t kSteps = 24;
constexpr std::int64_t kRowTile = 128;  // rows of a product in one task

Spectrum ascending(std::vector<std::pair<double, double>> pairs) {
  std::sort(pairs.begin(), pairs.end());
  Spectrum out;
  for (const auto& [value, count] : pairs) {
    out.values.push_back(std::max(value, 0.0));
    out.counts.push_back(count);
  }
  return out;
}

Matrix<double> mirrored(const Matrix<double>& h) {
  auto full = h.clone();
  for (std::int64_t i = 0; i < h.rows(); ++i)
    for (std::int64_t j = 0; j < i; ++j) full(j, i) = h(i, j);
  return full;
}

double dot(const double* x, const double* y, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// All probes step together, so that h is read once per step. Vectors are rows.
class Lanczos {
 public:
  explicit Lanczos(const Matrix<double>& full) : h_(full), n_(full.cols()) {
    Rng rng(0);
    auto& first = basis_.emplace_back(Matrix<double>::uninitialized(kProbes, n_));
    for (auto& value : first.span()) value = rng.normal();
    for (std::int64_t p = 0; p < kProbes; ++p) normalize(first.row(p));
  }

  void run() {
    while (std::ssize(basis_) <= kSteps) step();
  }

  // Ritz values of one probe and how many of the n eigenvalues each stands for.
  void nodes(std::int64_t p, std::vector<std::pair<double, double>>& out) const {
    std::vector<double> diagonal, off;
    for (std::int64_t k = 0; k < kSteps; ++k) {
      diagonal.push_back(diagonal_[k][p]);
      // A vanishing step means that an invariant space is found: what follows is not seen by this probe.
      if (!(off_[k][p] > 1e-13 * std::abs(diagonal_[0][p]))) break;
      if (k + 1 < kSteps) off.push_back(off_[k][p]);
    }
    off.resize(diagonal.size() - 1);
    const auto eigen = tridiagonal_eigen(diagonal, off);
    for (std::size_t i = 0; i < eigen.values.size(); ++i)
      out.emplace_back(eigen.values[i],
                       eigen.first[i] * eigen.first[i] * static_cast<double>(n_) / static_cast<double>(kProbes));
  }

 private:
  double normalize(double* x) const {
    const double norm = std::sqrt(dot(x, x, n_));
    if (norm > 0)
      for (std::int64_t j = 0; j < n_; ++j) x[j] /= norm;
    return norm;
  }

  void step() {
    const auto& v = basis_.back();
    auto next = Matrix<double>::uninitialized(kProbes, n_);
    parallel_for((n_ + kRowTile - 1) / kRowTile, [&](std::int64_t tile) {
      const auto r0 = tile * kRowTile;
      gemm_nt(kProbes, std::min(kRowTile, n_ - r0), n_, 1.0, v.data(), n_, h_.row(r0), n_, 0.0, next.data() + r0, n_);
    });
    diagonal_.emplace_back(kProbes), off_.emplace_back(kProbes);
    parallel_for(kProbes, [&](std::int64_t p) {
      diagonal_.back()[p] = dot(next.row(p), v.row(p), n_);
      for (const auto& earlier : basis_) {  // without it rounding brings converged eigenvalues in again
        const double part = dot(next.row(p), earlier.row(p), n_);
        for (std::int64_t j = 0; j < n_; ++j) next(p, j) -= part * earlier(p, j);
      }
      off_.back()[p] = normalize(next.row(p));
    });
    basis_.push_back(std::move(next));
  }

  const Matrix<double>& h_;
  std::int64_t n_;
  std::vector<Matrix<double>> basis_;                // [step][probe, n]
  std::vector<std::vector<double>> diagonal_, off_;  // [step][probe]
};

}  // namespace

double Spectrum::dimension() const { return std::accumulate(counts.begin(), counts.end(), 0.0); }

Spectrum exact_spectrum(const Matrix<double>& h) {
  std::vector<std::pair<double, double>> pairs;
  for (const double value : symmetric_eigenvalues(h.clone())) pairs.emplace_back(value, 1.0);
  return ascending(std::move(pairs));
}

Spectrum estimated_spectrum(const Matrix<double>& h) {
  if (h.cols() <= kExactUpTo) return exact_spectrum(h);
  const auto full = mirrored(h);
  Lanczos lanczos(full);
  lanczos.run();
  std::vector<std::pair<double, double>> pairs;
  for (std::int64_t p = 0; p < kProbes; ++p) lanczos.nodes(p, pairs);
  return ascending(std::move(pairs));
}

}  // namespace nearplane::lattice
