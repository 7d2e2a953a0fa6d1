#include "lattice/list_reference.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>

namespace nearplane::lattice {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

struct Survivor {
  double error = 0, bits = 0, cost = 0;
  int state = 0;
  std::vector<double> differences;  // t_k - q_k, by position
  std::vector<std::int16_t> levels;
};

struct Search {
  const Triangle<double>& l;
  const ListOptions& options;
  const LevelCosts& costs;
  double price;  // of a bit

  double bits(std::int64_t row, std::int64_t column, int quantizer, int level) const {
    if (costs.classes == 0) return 0;
    const int kind = std::clamp(
        costs.row_class[static_cast<std::size_t>(row)] - costs.column_class[static_cast<std::size_t>(column)], 0,
        costs.classes - 1);
    const int inside = std::clamp(level, -costs.reach, costs.reach);
    const auto at = (kind * 2 + quantizer) * (2 * costs.reach + 1) + inside + costs.reach;
    return static_cast<double>(costs.bits[static_cast<std::size_t>(at)]) +
           static_cast<double>(costs.slope) * std::abs(level - inside);
  }

  // The survivor after one more column, whose target is c; position < 0: outside the order.
  Survivor extended(const Survivor& s, std::int64_t row, std::int64_t column, std::int64_t position, double target,
                    double c, int level) const {
    Survivor out = s;
    if (position >= 0) {
      const auto& trellis = options.trellis;
      const double point = static_cast<double>(trellis.point(s.state, level)) / trellis.points_per_step();
      const double e = l.factor.pivots[static_cast<std::size_t>(position)] * (c - point);
      out.error += e * e;
      out.differences.push_back(target - point);
    }
    out.bits += bits(row, column, Trellis::quantizer(s.state), level);
    out.cost = out.error + price * out.bits;
    out.levels.push_back(static_cast<std::int16_t>(level));
    out.state = (column + 1) % options.restart == 0 ? 0 : options.trellis.next(s.state, level);
    return out;
  }

  // The extensions by the cheapest of the candidates of either parity: the levels around c, and zero.
  void extend(const Survivor& s, std::int64_t row, std::int64_t column, std::int64_t position, double target,
              std::vector<Survivor>& into) const {
    double c = target;
    for (std::int64_t j = 0; j < position; ++j) c += l.rows(position, j) * s.differences[static_cast<std::size_t>(j)];
    const int quantizer = Trellis::quantizer(s.state);
    const double x = quantizer == 1 ? c + std::copysign(0.5, c) : c;  // levels as real numbers
    if (!(std::abs(x) < std::numeric_limits<std::int16_t>::max())) return;
    const int near = static_cast<int>(std::nearbyint(x)), other = x >= near ? near + 1 : near - 1;
    std::array<Survivor, 2> best;
    for (auto& b : best) b.cost = kInfinite;
    for (const int level : {near, other, 0})
      if (auto next = extended(s, row, column, position, target, c, level); next.cost < best[level & 1].cost)
        best[level & 1] = std::move(next);
    for (auto& b : best)
      if (b.cost < kInfinite) into.push_back(std::move(b));
  }

  // The M of least cost per state.
  void select(std::vector<Survivor>& all) const {
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.cost < b.cost; });
    std::vector<int> kept(static_cast<std::size_t>(options.trellis.states));
    std::erase_if(all, [&](const auto& s) { return ++kept[static_cast<std::size_t>(s.state)] > options.survivors; });
  }

  // Best first; empty where no finite cost exists.
  std::vector<Survivor> solve(const float* target, std::int64_t row, std::int64_t columns) const {
    std::vector<Survivor> survivors(1), next;
    std::int64_t position = 0;
    for (std::int64_t j = 0; j < columns; ++j) {
      next.clear();
      const bool alive = position < l.factor.rank() && l.factor.order[static_cast<std::size_t>(position)] == j;
      for (const auto& s : survivors)
        if (alive)
          extend(s, row, j, position, static_cast<double>(target[j]), next);
        else
          next.push_back(extended(s, row, j, -1, 0, 0, 0));
      select(next);
      survivors.swap(next);
      position += alive;
    }
    return survivors;
  }
};

}  // namespace

ListOutcome list_search_reference(MatrixView<const float> t, const Triangle<double>& l, const ListOptions& options,
                                  const LevelCosts& costs, MatrixView<std::int16_t> levels) {
  assert(t.cols == l.factor.dimension && std::is_sorted(l.factor.order.begin(), l.factor.order.end()));
  double squares = 0;
  for (const double pivot : l.factor.pivots) squares += pivot * pivot;
  const auto rank = static_cast<double>(std::max<std::int64_t>(l.factor.rank(), 1));
  const Search search{l, options, costs, options.lambda * squares / rank};
  ListOutcome out;
  for (std::int64_t i = 0; i < t.rows; ++i) {
    const auto survivors = search.solve(t.row(i), i, t.cols);
    if (survivors.empty()) {
      out.error.push_back(kInfinite);
      std::fill_n(levels.row(i), t.cols, std::int16_t{0});
      continue;
    }
    out.error.push_back(survivors.front().error);
    out.bits += survivors.front().bits;
    std::copy_n(survivors.front().levels.data(), t.cols, levels.row(i));
  }
  return out;
}

}  // namespace nearplane::lattice
