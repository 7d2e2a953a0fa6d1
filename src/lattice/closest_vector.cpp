#include "lattice/closest_vector.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/rng.h"
#include "lattice/levels.h"

namespace nearplane::lattice {

void check(const ClosestVector& p, const std::string& where) {
  constexpr double kLargest = 1e100, kSmallest = 1e-100;
  constexpr double kFarthest = 0x1p51;
  const auto n = p.size();
  if (p.l.rows() != n || p.l.cols() != n)
    fail_input(where, "a factor of {} x {} does not fit {} targets", p.l.rows(), p.l.cols(), n);
  for (std::int64_t k = 0; k < n; ++k) {
    for (std::int64_t j = 0; j <= k; ++j)
      if (!(std::abs(p.l(k, j)) <= kLargest)) fail_input(where, "entry ({}, {}) of the factor is {}", k, j, p.l(k, j));
    if (!(p.l(k, k) >= kSmallest)) fail_input(where, "pivot {} is {}", k, p.l(k, k));
    if (!(std::abs(p.target[k]) < kFarthest)) fail_input(where, "target {} is {}", k, p.target[k]);
  }
  if (p.low > p.high) fail_input(where, "the range from {} to {} is empty", p.low, p.high);
  if (p.low < -ClosestVector::kUnbounded || p.high > ClosestVector::kUnbounded)
    fail_input(where, "the range from {} to {} is beyond 2^52", p.low, p.high);
}

ClosestVector row_problem(const Triangle<double>& l, const Grid& grid, MatrixView<const float> w, std::int64_t row) {
  const auto& factor = l.factor;
  ClosestVector out{.l = {factor.rank(), factor.rank()}, .target = {}, .low = 0, .high = grid.max_code};
  std::vector<double> steps;
  for (const auto j : factor.order) {
    steps.push_back(static_cast<double>(grid.step(row, j / grid.group)));
    out.target.push_back(static_cast<double>(w(row, j)) / steps.back() +
                         static_cast<double>(grid.zero(row, j / grid.group)));
  }
  for (std::int64_t k = 0; k < factor.rank(); ++k)
    for (std::int64_t j = 0; j <= k; ++j) out.l(k, j) = factor.pivots[k] * l.rows(k, j) * steps[j];
  return out;
}

double error_of(const ClosestVector& p, const std::vector<std::int64_t>& codes) {
  double error = 0;
  for (std::int64_t k = 0; k < p.size(); ++k) {
    double e = 0;
    for (std::int64_t j = 0; j <= k; ++j) e += p.l(k, j) * (p.target[j] - static_cast<double>(codes[j]));
    error += e * e;
  }
  return error;
}

double aim(const ClosestVector& p, const std::vector<std::int64_t>& codes, std::int64_t k) {
  double sum = 0;
  for (std::int64_t j = 0; j < k; ++j) sum += p.l(k, j) * (p.target[j] - static_cast<double>(codes[j]));
  return p.target[k] + sum / p.l(k, k);
}

Levels::Levels(const ClosestVector& p, double target)
    : low_(p.low), high_(p.high), target_(std::clamp(target, static_cast<double>(p.low), static_cast<double>(p.high))) {
  current_ = static_cast<std::int64_t>(std::nearbyint(target_));
  above_ = current_ + 1, below_ = current_ - 1;
}

bool Levels::next() {
  const bool up = above_ <= high_, down = below_ >= low_;
  if (!up && !down) return false;
  const bool upper_is_nearer = static_cast<double>(above_) - target_ <= target_ - static_cast<double>(below_);
  current_ = up && (!down || upper_is_nearer) ? above_++ : below_--;
  return true;
}

Solution nearest_plane(const ClosestVector& p) {
  check(p, "nearest plane");
  Solution out;
  out.codes.resize(p.target.size());
  out.optimal = true;
  for (std::int64_t k = 0; k < p.size(); ++k) {
    out.codes[k] = Levels(p, aim(p, out.codes, k)).current();
    for (std::int64_t j = 0; j < k; ++j) out.optimal = out.optimal && p.l(k, j) == 0;
  }
  out.nodes = p.size();
  out.error = error_of(p, out.codes);
  return out;
}

namespace {

struct Partial {
  double error = 0;
  std::vector<std::int64_t> codes;
};

}  // namespace

Solution kbest(const ClosestVector& p, std::int64_t beam, std::int64_t levels) {
  check(p, "K-best");
  if (beam < 1 || levels < 1) fail_input("K-best", "a beam of {} with {} levels keeps nothing", beam, levels);
  Solution out;
  out.optimal = true;
  std::vector<Partial> survivors{{.error = 0, .codes = std::vector<std::int64_t>(p.target.size())}};
  for (std::int64_t k = 0; k < p.size(); ++k) {
    std::vector<Partial> extended;
    for (const auto& survivor : survivors) {
      const double c = aim(p, survivor.codes, k);
      Levels level(p, c);
      bool more = true;
      for (std::int64_t i = 0; i < levels && more; ++i, more = level.next()) {
        extended.push_back(survivor);
        extended.back().codes[k] = level.current();
        const double e = p.l(k, k) * (c - static_cast<double>(level.current()));
        extended.back().error += e * e;
      }
      out.optimal = out.optimal && !more;
    }
    out.nodes += std::ssize(extended);
    std::stable_sort(extended.begin(), extended.end(), [](auto& a, auto& b) { return a.error < b.error; });
    if (std::ssize(extended) > beam) extended.resize(static_cast<std::size_t>(beam)), out.optimal = false;
    survivors = std::move(extended);
  }
  out.codes = survivors.front().codes;
  out.error = error_of(p, out.codes);
  return out;
}

namespace {

// A level near c, at distance x with weight exp(-pivot^2 x^2 / temperature); levels of weight below 2^-40 are left out.
std::int64_t draw(const ClosestVector& p, double c, double pivot, double temperature, Rng& rng) {
  constexpr std::size_t kMost = 64;
  std::vector<std::int64_t> codes;
  std::vector<double> weights;
  double sum = 0, least = 0;
  Levels level(p, c);
  do {
    const double e = pivot * (c - static_cast<double>(level.current()));
    if (codes.empty()) least = e * e;  // relative to the nearest, so that one weight is 1
    const double weight = std::exp((least - e * e) / temperature);
    if (!(weight >= 0x1p-40)) break;
    codes.push_back(level.current()), weights.push_back(weight), sum += weight;
  } while (codes.size() < kMost && level.next());
  if (codes.empty()) return Levels(p, c).current();
  double u = rng.uniform() * sum;
  for (std::size_t i = 0; i < codes.size(); ++i)
    if ((u -= weights[i]) < 0) return codes[i];
  return codes.back();
}

}  // namespace

Solution randomized_plane(const ClosestVector& p, double temperature, std::int64_t tries, std::uint64_t seed) {
  if (!(temperature > 0) || !std::isfinite(temperature)) fail_input("temperature", "{} is not positive", temperature);
  Solution best = nearest_plane(p);
  Rng rng(seed);
  auto codes = best.codes;
  for (std::int64_t i = 0; i < tries; ++i) {
    for (std::int64_t k = 0; k < p.size(); ++k) codes[k] = draw(p, aim(p, codes, k), p.l(k, k), temperature, rng);
    best.nodes += p.size();
    if (const double error = error_of(p, codes); error < best.error) best.error = error, best.codes = codes;
  }
  return best;
}

}  // namespace nearplane::lattice
