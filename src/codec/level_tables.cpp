// Which classes share a table: neighbours are merged as long as the table that falls away is worth more bits than the
// sharper frequencies of two were.
#include <algorithm>
#include <cassert>
#include <cmath>

#include "codec/level_stream.h"

namespace nearplane {
namespace {

// Counts of one table by zigzag(level).
using Counts = std::vector<std::uint64_t>;
// Of one run of classes: for each quantizer.
using RunCounts = std::vector<Counts>;

constexpr double kTableBits = 46, kSymbolBits = 5;  // RansTable::write, as measured on levels of layers

void add(Counts& counts, std::int32_t level) {
  const auto symbol = zigzag(level);
  if (symbol >= counts.size()) counts.resize(symbol + 1);
  ++counts[symbol];
}

double entropy_bits(const Counts& counts) {
  double total = 0, sum = 0;
  for (const auto count : counts) {
    if (count == 0) continue;
    const auto c = static_cast<double>(count);
    total += c, sum -= c * std::log2(c);
  }
  return total > 0 ? sum + total * std::log2(total) : 0.0;
}

double cost(const RunCounts& run) {
  double bits = 0;
  for (const auto& counts : run)
    bits += entropy_bits(counts) + kTableBits + kSymbolBits * static_cast<double>(counts.size());
  return bits;
}

RunCounts merged(const RunCounts& a, const RunCounts& b) {
  auto out = a;
  for (std::size_t q = 0; q < out.size(); ++q) {
    out[q].resize(std::max(a[q].size(), b[q].size()));
    for (std::size_t i = 0; i < b[q].size(); ++i) out[q][i] += b[q][i];
  }
  return out;
}

LevelCounts by_level(const Counts& counts) {
  LevelCounts out;
  for (std::size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > 0) out.emplace(unzigzag(static_cast<std::uint32_t>(i)), counts[i]);
  return out;
}

std::vector<RunCounts> count_levels(const LevelModel& model, std::span<const std::int16_t> levels) {
  std::vector<RunCounts> counts(static_cast<std::size_t>(model.classes),
                                RunCounts(static_cast<std::size_t>(model.quantizers())));
  auto level = levels.begin();
  for (const int row : model.row) {
    int state = 0;
    for (std::int64_t j = 0; j < model.cols(); ++j, ++level) {
      if (model.restarts(j)) state = 0;
      const int cls = std::clamp(row - model.column[static_cast<std::size_t>(j)], 0, model.classes - 1);
      add(counts[static_cast<std::size_t>(cls)][static_cast<std::size_t>(Trellis::quantizer(state))], *level);
      state = model.trellis.next(state, *level);
    }
  }
  return counts;
}

// A run of classes on the way: what it costs alone, and with its neighbour on the right.
struct Run {
  RunCounts counts;
  int classes = 1;
  double cost = 0, saved = 0;
};

void look_right(std::vector<Run>& runs, std::size_t i) {
  if (i + 1 < runs.size())
    runs[i].saved = runs[i].cost + runs[i + 1].cost - cost(merged(runs[i].counts, runs[i + 1].counts));
}

void merge_right(std::vector<Run>& runs, std::size_t i) {
  runs[i].counts = merged(runs[i].counts, runs[i + 1].counts);
  runs[i].classes += runs[i + 1].classes;
  runs[i].cost = cost(runs[i].counts);
  runs.erase(runs.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  look_right(runs, i);
  if (i > 0) look_right(runs, i - 1);
}

std::vector<Run> merge_runs(std::vector<RunCounts> counts, std::size_t most) {
  std::vector<Run> runs;
  for (auto& one : counts) {
    const bool none = std::all_of(one.begin(), one.end(), [](const auto& c) { return c.empty(); });
    if (none && !runs.empty())
      ++runs.back().classes;
    else
      runs.push_back({std::move(one), 1, 0, 0});
  }
  for (auto& run : runs) run.cost = cost(run.counts);
  for (std::size_t i = 0; i < runs.size(); ++i) look_right(runs, i);
  while (runs.size() > 1) {
    const auto best =
        std::max_element(runs.begin(), runs.end() - 1, [](const Run& a, const Run& b) { return a.saved < b.saved; });
    if (best->saved <= 0 && runs.size() <= most) break;
    merge_right(runs, static_cast<std::size_t>(best - runs.begin()));
  }
  return runs;
}

}  // namespace

LevelTables fit_tables(const LevelModel& model, std::span<const std::int16_t> levels) {
  assert(std::ssize(levels) == model.rows() * model.cols() && model.classes <= kMaxLevelClasses);
  const auto most = (kMaxRansClasses - 1) / model.quantizers();
  const auto runs = merge_runs(count_levels(model, levels), static_cast<std::size_t>(most));
  LevelTables out;
  const auto add_table = [&](const Counts& counts) {
    const auto by = by_level(counts);
    const auto& table = out.tables.emplace_back(by);
    for (const auto& [level, count] : by) out.bits += static_cast<double>(count) * table.bits(level);
  };
  for (std::size_t r = 0; r < runs.size(); ++r) {
    out.run.insert(out.run.end(), static_cast<std::size_t>(runs[r].classes), static_cast<std::uint8_t>(r));
    for (const auto& counts : runs[r].counts) add_table(counts);
  }
  Counts rows;
  for (const int cls : model.row) add(rows, cls);
  add_table(rows);
  out.own_bits = 8 * static_cast<double>(write_rans_tables(out.tables).size());
  return out;
}

}  // namespace nearplane
