#include "quant/bit_budget.h"

#include <algorithm>
#include <cassert>

namespace nearplane {
namespace {

struct Step {
  std::size_t unit, to;
  std::int64_t bytes;
  double slope;  // cost saved per byte
};

double slope(const BitChoice& from, const BitChoice& to) {
  return (from.cost - to.cost) / static_cast<double>(to.bytes - from.bytes);
}

// The steps of one unit along its lower convex hull, slopes falling; none that saves nothing.
void add_steps(const std::vector<BitChoice>& choices, std::size_t unit, std::vector<Step>& steps) {
  for (std::size_t at = 0; at + 1 < choices.size();) {
    auto best = at + 1;
    for (auto next = at + 2; next < choices.size(); ++next)
      if (slope(choices[at], choices[next]) > slope(choices[at], choices[best])) best = next;
    const double saved = slope(choices[at], choices[best]);
    if (!(saved > 0)) return;
    steps.push_back({unit, best, choices[best].bytes - choices[at].bytes, saved});
    at = best;
  }
}

}  // namespace

std::vector<std::size_t> share_bits(const std::vector<std::vector<BitChoice>>& units, std::int64_t budget) {
  std::vector<Step> steps;
  for (std::size_t u = 0; u < units.size(); ++u) {
    budget -= units[u].front().bytes;
    add_steps(units[u], u, steps);
  }
  assert(budget >= 0);
  std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.slope > b.slope; });
  std::vector<std::size_t> chosen(units.size());
  std::vector<bool> stopped(units.size());  // a step that did not fit: later ones start from it
  for (const auto& step : steps) {
    if (stopped[step.unit] || step.bytes > budget) {
      stopped[step.unit] = true;
      continue;
    }
    budget -= step.bytes;
    chosen[step.unit] = step.to;
  }
  return chosen;
}

}  // namespace nearplane
