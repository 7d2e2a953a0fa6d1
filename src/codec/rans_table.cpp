// The frequencies of rANS: which levels get slots, how counts become slots, how both are stored.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "codec/rans.h"

namespace nearplane {
namespace {

constexpr int kCoarse = 12, kFine = 14;  // precisions
constexpr int kMaxSpan = 1024;           // levels with slots, from lowest to highest
constexpr int kMantissaBits = 3;         // of a stored weight, after its leading one
constexpr int kVersion = 1;

// To the nearest number of kMantissaBits + 1 significant bits, ties away from zero.
std::uint16_t rounded(std::uint32_t weight) {
  const int drop = std::max(0, static_cast<int>(std::bit_width(weight)) - 1 - kMantissaBits);
  return static_cast<std::uint16_t>(drop == 0 ? weight : (weight + (1u << (drop - 1))) >> drop << drop);
}

std::uint64_t count_all(const LevelCounts& counts) {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const auto& entry) { return sum + entry.second; });
}

// Levels that deserve a slot: at least half of one. Where they lie too far apart, the kMaxSpan levels with most of
// them.
LevelCounts common_levels(const LevelCounts& counts, std::uint64_t total, int precision) {
  LevelCounts common;
  for (const auto& [level, count] : counts)
    if (std::ldexp(static_cast<double>(count), precision + 1) >= static_cast<double>(total))
      common.emplace(level, count);
  std::uint64_t inside = 0, best = 0;
  auto first = common.begin(), best_first = first, best_end = first;
  for (auto last = common.begin(); last != common.end();) {
    inside += last->second;
    for (; static_cast<std::int64_t>(last->first) - first->first >= kMaxSpan; ++first) inside -= first->second;
    ++last;
    if (inside > best) best = inside, best_first = first, best_end = last;
  }
  return {best_first, best_end};
}

}  // namespace

RansTable::RansTable(const LevelCounts& counts) {
  const auto total = count_all(counts);
  auto common = common_levels(counts, total, kCoarse);
  // An escape spends some 8 bits more than the level deserves; a finer table costs the decoder cache.
  if (total - count_all(common) > total / 2048) common = common_levels(counts, total, precision_ = kFine);
  if (!common.empty()) {
    lowest_ = common.begin()->first;
    weights_.resize(static_cast<std::size_t>(common.rbegin()->first - lowest_) + 1);
  }
  const auto weight = [&](std::uint64_t count) {
    const auto share = static_cast<double>(count) / static_cast<double>(std::max<std::uint64_t>(total, 1));
    return rounded(static_cast<std::uint32_t>(std::max(1l, std::lround(std::ldexp(share, precision_)))));
  };
  for (const auto& [level, count] : common) weights_[static_cast<std::size_t>(level - lowest_)] = weight(count);
  weights_.push_back(weight(total - count_all(common)));
  apportion();
}

// Slots by weight as seats by votes (Sainte-Lague), at least one for each weight above zero: from the rounded-down
// shares on, the next slot goes where weight / (2 frequency + 1) is largest, and is taken where weight / (2 frequency -
// 1) is smallest. In integers, so that every reader arrives at the same frequencies.
void RansTable::apportion() {
  const auto total = std::accumulate(weights_.begin(), weights_.end(), std::uint64_t{0});
  shares_.assign(weights_.size(), {});
  const auto slots = std::uint64_t{1} << precision_;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] > 0)
      shares_[i].frequency = static_cast<std::uint16_t>(std::max<std::uint64_t>(1, weights_[i] * slots / total));
    sum += shares_[i].frequency;
  }
  const auto claims_more = [&](std::size_t a, std::size_t b, int sign) {
    return weights_[a] * (2ll * shares_[b].frequency + sign) > weights_[b] * (2ll * shares_[a].frequency + sign);
  };
  for (; sum < slots; ++sum) {
    std::size_t most = 0;
    for (std::size_t i = 1; i < weights_.size(); ++i)
      if (claims_more(i, most, 1)) most = i;
    ++shares_[most].frequency;
  }
  for (; sum > slots; --sum) {
    std::size_t least = weights_.size();
    for (std::size_t i = 0; i < weights_.size(); ++i)
      if (shares_[i].frequency > 1 && (least == weights_.size() || claims_more(least, i, -1))) least = i;
    --shares_[least].frequency;
  }
  symbols_.clear();
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    shares_[i].start = static_cast<std::uint16_t>(symbols_.size());
    symbols_.insert(symbols_.end(), shares_[i].frequency, static_cast<std::uint16_t>(i));
  }
  assert(symbols_.size() == slots);
}

// Weights as floating numbers: the change of the exponent, then the bits after the leading one.
void RansTable::write(BitWriter& out) const {
  out.put(precision_ == kFine, 1);
  out.put(zigzag(lowest_), 32);
  out.put(weights_.size() - 1, 11);
  int before = 0;
  for (const auto weight : weights_) {
    const int exponent = std::bit_width(weight), mantissa = std::clamp(exponent - 1, 0, kMantissaBits);
    out.put_gamma(zigzag(exponent - before) + 1);
    if (exponent > 0) out.put((weight >> (exponent - 1 - mantissa)) & ((1u << mantissa) - 1), mantissa);
    before = exponent;
  }
}

RansTable::RansTable(BitReader& in) {
  precision_ = in.get(1) == 1 ? kFine : kCoarse;
  lowest_ = unzigzag(in.get(32));
  const auto span = in.get(11);
  if (span > kMaxSpan || static_cast<std::int64_t>(lowest_) + span - 1 > INT32_MAX)
    fail_input(in.where(), "a table of {} levels from {} before bit {}", span, lowest_, in.at());
  std::int64_t exponent = 0;
  for (std::uint32_t i = 0; i <= span; ++i) {
    exponent += unzigzag(in.get_gamma() - 1);
    if (exponent < 0 || exponent > precision_ + 1)
      fail_input(in.where(), "a weight of {} bits before bit {}", exponent, in.at());
    const int mantissa = std::clamp(static_cast<int>(exponent) - 1, 0, kMantissaBits);
    const auto leading = exponent == 0 ? 0u : 1u << mantissa | in.get(mantissa);
    weights_.push_back(static_cast<std::uint16_t>(leading << std::max<std::int64_t>(0, exponent - 1 - mantissa)));
  }
  if (weights_.back() == 0) fail_input(in.where(), "a table without escape before bit {}", in.at());
  apportion();
}

double RansTable::bits(std::int32_t level) const {
  const auto bits_of = [&](std::size_t symbol) { return precision_ - std::log2(shares_[symbol].frequency); };
  const auto symbol = static_cast<std::int64_t>(level) - lowest_;
  if (symbol >= 0 && symbol < static_cast<std::int64_t>(escape()) &&
      shares_[static_cast<std::size_t>(symbol)].frequency > 0)
    return bits_of(static_cast<std::size_t>(symbol));
  return bits_of(escape()) + 6 + std::bit_width(zigzag(level));
}

std::vector<std::byte> write_rans_tables(std::span<const RansTable> tables) {
  assert(!tables.empty() && tables.size() <= kMaxRansClasses);
  BitWriter out;
  out.put(kVersion, 8);
  out.put(tables.size(), 8);
  for (const auto& table : tables) table.write(out);
  return std::move(out).finish();
}

std::vector<RansTable> read_rans_tables(std::span<const std::byte> bytes, const std::string& where) {
  BitReader in(bytes, where);
  if (const auto version = in.get(8); version != kVersion)
    fail_unsupported(where, "rANS tables of version {} are not read ({} is)", version, kVersion);
  const auto count = in.get(8);
  if (count < 1 || count > kMaxRansClasses) fail_input(where, "{} rANS tables", count);
  std::vector<RansTable> tables;
  for (std::uint32_t i = 0; i < count; ++i) tables.emplace_back(in);
  in.finish();
  return tables;
}

}  // namespace nearplane
