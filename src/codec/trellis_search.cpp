#include "codec/trellis_search.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace nearplane {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

struct Branch {
  double cost = kNever;
  std::int32_t level = 0;
};

// The cheapest level of each parity under a quantizer. Besides zero, whose code may be so short that it wins from afar,
// the two nearest of a parity can be best: they are among the five around x.
std::array<Branch, 2> cheapest(const Trellis& trellis, int quantizer, double x, double step, double lambda,
                               const LevelBits& bits) {
  std::array<Branch, 2> best;
  const auto consider = [&](std::int32_t level) {
    const auto point = trellis.point(quantizer, level);
    const auto off = x - step * point / trellis.points_per_step();
    const auto cost = off * off + lambda * bits(quantizer, level);
    auto& branch = best[static_cast<std::size_t>(level & 1)];
    if (cost < branch.cost) branch = {cost, level};
  };
  const auto nearest = static_cast<std::int32_t>(std::lround(x / step + (quantizer == 1 ? std::copysign(0.5, x) : 0)));
  for (std::int32_t level = nearest - 2; level <= nearest + 2; ++level) consider(level);
  consider(0);
  return best;
}

struct Step {
  std::int32_t level = 0;
  int from = 0;
};

void search_row(const Trellis& trellis, std::span<const double> x, double step, double lambda, const LevelBits& bits,
                std::int32_t* levels) {
  const auto states = static_cast<std::size_t>(trellis.states);
  std::vector<Step> steps(x.size() * states);
  std::vector<double> cost(states, kNever), after(states);
  cost[0] = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::array branches = {cheapest(trellis, 0, x[i], step, lambda, bits),
                                 cheapest(trellis, 1, x[i], step, lambda, bits)};
    std::fill(after.begin(), after.end(), kNever);
    for (int s = 0; s < trellis.states; ++s)
      for (const auto& branch : branches[static_cast<std::size_t>(Trellis::quantizer(s))]) {
        const auto to = static_cast<std::size_t>(trellis.next(s, branch.level));
        if (const auto sum = cost[static_cast<std::size_t>(s)] + branch.cost; sum < after[to]) {
          after[to] = sum;
          steps[i * states + to] = {branch.level, s};
        }
      }
    cost.swap(after);
  }
  auto state = static_cast<std::size_t>(std::min_element(cost.begin(), cost.end()) - cost.begin());
  for (std::size_t i = x.size(); i-- > 0;) {
    const auto& best = steps[i * states + state];
    levels[i] = best.level;
    state = static_cast<std::size_t>(best.from);
  }
}

}  // namespace

LevelBits::LevelBits(const Counts& counts) {
  for (std::size_t q = 0; q < 2; ++q) {
    if (counts[q].empty()) continue;
    auto& table = tables_[q];
    table.lowest = counts[q].begin()->first;
    table.bits.assign(static_cast<std::size_t>(counts[q].rbegin()->first - table.lowest) + 1, 0.5);
    for (const auto& [level, count] : counts[q])
      table.bits[static_cast<std::size_t>(level - table.lowest)] = static_cast<double>(count);
    double total = 0.5;
    for (const auto count : table.bits) total += count;
    for (auto& entry : table.bits) entry = std::log2(total / entry);
    table.other = std::log2(total / 0.5);
  }
}

double LevelBits::operator()(int quantizer, std::int32_t level) const {
  const auto& table = tables_[static_cast<std::size_t>(quantizer)];
  const auto at = static_cast<std::int64_t>(level) - table.lowest;
  return at >= 0 && at < std::ssize(table.bits) ? table.bits[static_cast<std::size_t>(at)] : table.other;
}

std::vector<std::int32_t> trellis_search(const Trellis& trellis, std::span<const double> x, std::int64_t cols,
                                         double step, double lambda, const LevelBits& bits) {
  assert(cols > 0 && std::ssize(x) % cols == 0 && step > 0);
  std::vector<std::int32_t> levels(x.size());
  const auto n = static_cast<std::size_t>(cols);
  for (std::size_t at = 0; at < x.size(); at += n)
    search_row(trellis, x.subspan(at, n), step, lambda, bits, levels.data() + at);
  return levels;
}

LevelBits::Counts count_levels(const Trellis& trellis, std::span<const std::int32_t> levels, std::int64_t cols) {
  LevelBits::Counts counts;
  int state = 0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    if (i % static_cast<std::size_t>(cols) == 0) state = 0;
    ++counts[static_cast<std::size_t>(Trellis::quantizer(state))][levels[i]];
    state = trellis.next(state, levels[i]);
  }
  return counts;
}

double trellis_distortion(const Trellis& trellis, std::span<const double> x, std::span<const std::int32_t> levels,
                          std::int64_t cols, double step) {
  double sum = 0;
  int state = 0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    if (i % static_cast<std::size_t>(cols) == 0) state = 0;
    const auto off = x[i] - step * trellis.point(state, levels[i]) / trellis.points_per_step();
    sum += off * off;
    state = trellis.next(state, levels[i]);
  }
  return sum;
}

}  // namespace nearplane
