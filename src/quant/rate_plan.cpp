#include "quant/rate_plan.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "base/rng.h"
#include "codec/trellis_search.h"
#include "qtensor/coded_tensor.h"
#include "quant/coded_rate.h"

namespace nearplane {
namespace {

// Rates are measured for widths of 2^kLeast to 2^kMost steps; below they are 0, above they grow by a bit per octave.
constexpr int kLeast = -5, kMost = 4;
constexpr int kRounds = 3;  // of search and prices
constexpr std::int64_t kSourceRows = 32, kSourceCols = 144;
constexpr int kNarrowest = -400;                   // of a weight that is 0
constexpr int kLayerBytes = 40, kBlockBytes = 20;  // of a level stream besides tables and levels, and of a step

int bin_of(double octaves) {
  return static_cast<int>(std::max(std::round(octaves * kWidthsPerOctave), static_cast<double>(kNarrowest)));
}

// Bits of a source weight whose standard deviation is `width` steps.
double gaussian_rate(const Trellis& trellis, const std::vector<double>& source, double width) {
  LevelBits bits;
  LevelBits::Counts counts;
  const double step = 1 / width;
  for (int round = 0; round < kRounds; ++round) {
    const double lambda = round == 0 ? 0 : price_of_bit(trellis.states) * step * step;
    counts = count_levels(trellis, trellis_search(trellis, source, kSourceCols, step, lambda, bits), kSourceCols);
    bits = LevelBits(counts);
  }
  double sum = 0;
  for (int quantizer = 0; quantizer < 2; ++quantizer)
    for (const auto& [level, count] : counts[static_cast<std::size_t>(quantizer)])
      sum += static_cast<double>(count) * bits(quantizer, level);
  return sum / static_cast<double>(source.size());
}

std::vector<double> gaussian_rates(int states) {
  std::vector<double> source(kSourceRows * kSourceCols), out;
  Rng rng(1);
  for (auto& x : source) x = rng.normal();
  for (int bin = kLeast * kWidthsPerOctave; bin <= kMost * kWidthsPerOctave; ++bin)
    out.push_back(gaussian_rate(*find_trellis(states), source, std::exp2(static_cast<double>(bin) / kWidthsPerOctave)));
  return out;
}

double rate_at(const std::vector<double>& rates, double octaves) {
  const double at = (octaves - kLeast) * kWidthsPerOctave;
  const auto last = static_cast<double>(rates.size() - 1);
  if (at <= 0) return 0;
  if (at >= last) return rates.back() + (at - last) / kWidthsPerOctave;
  const auto i = static_cast<std::size_t>(at);
  const double share = at - static_cast<double>(i);
  return (1 - share) * rates[i] + share * rates[i + 1];
}

// Root mean squares of rows and of columns.
struct Sizes {
  std::vector<double> rows, columns;
  double all = 0;

  explicit Sizes(const Matrix<float>& w)
      : rows(static_cast<std::size_t>(w.rows())), columns(static_cast<std::size_t>(w.cols())) {
    for (std::int64_t i = 0; i < w.rows(); ++i)
      for (std::int64_t j = 0; j < w.cols(); ++j) {
        const double square = static_cast<double>(w(i, j)) * static_cast<double>(w(i, j));
        rows[i] += square, columns[j] += square, all += square;
      }
    for (auto& r : rows) r = std::sqrt(r / static_cast<double>(w.cols()));
    for (auto& c : columns) c = std::sqrt(c / static_cast<double>(w.rows()));
    all = std::sqrt(all / static_cast<double>(w.size()));
  }
};

// How many of `sizes` are in each bin once divided by their steps.
std::vector<double> bins(const std::vector<double>& sizes, const std::vector<std::uint8_t>& steps, int& lowest) {
  std::vector<int> at;
  for (std::size_t k = 0; k < sizes.size(); ++k) {
    const double step = steps.empty() ? 1.0 : static_cast<double>(step_scale(steps[k]));
    at.push_back(bin_of(std::log2(sizes[k] / step)));
  }
  const auto [low, high] = std::minmax_element(at.begin(), at.end());
  lowest = *low;
  std::vector<double> out(static_cast<std::size_t>(*high - *low + 1));
  for (const int bin : at) ++out[static_cast<std::size_t>(bin - *low)];
  return out;
}

}  // namespace

LayerWidths widths_of(const Matrix<float>& w, const CodedSteps& steps, int kind) {
  const Sizes sizes(w);
  int row = 0, column = 0;
  const auto rows = bins(sizes.rows, steps.row, row), columns = bins(sizes.columns, steps.column, column);
  LayerWidths out{.kind = kind,
                  .weights = w.size(),
                  .other_bits = 8.0 * static_cast<double>(steps.row.size() + steps.column.size() + kLayerBytes) +
                                8.0 * kBlockBytes * std::ceil(static_cast<double>(w.rows()) / kLevelBlockRows),
                  .lowest = row + column + (sizes.all > 0 ? bin_of(-std::log2(sizes.all * steps.unit)) : 0),
                  .count = std::vector<double>(rows.size() + columns.size() - 1)};
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t c = 0; c < columns.size(); ++c) out.count[r + c] += rows[r] * columns[c];
  return out;
}

RatePlan::RatePlan(std::vector<LayerWidths> layers, double bits, int states)
    : layers_(std::move(layers)), rate_(gaussian_rates(states)) {
  for (const auto& layer : layers_) {
    left_ += bits * static_cast<double>(layer.weights);
    kinds_.resize(std::max(kinds_.size(), static_cast<std::size_t>(layer.kind) + 1));
  }
}

// What layers of the kind took more than forecast; of a kind not met yet, as much as the others.
double RatePlan::correction(int kind) const {
  const auto& own = kinds_[static_cast<std::size_t>(kind)];
  if (own.met) return own.bits;
  double sum = 0, met = 0;
  for (const auto& other : kinds_)
    if (other.met) sum += other.bits, ++met;
  return met > 0 ? sum / met : 0;
}

// Bits of a layer, without correction.
double RatePlan::forecast(std::size_t layer, double log2_step) const {
  const auto& widths = layers_[layer];
  double bits = widths.other_bits;
  for (std::size_t k = 0; k < widths.count.size(); ++k)
    if (widths.count[k] > 0)
      bits += widths.count[k] *
              rate_at(rate_, static_cast<double>(widths.lowest + static_cast<int>(k)) / kWidthsPerOctave - log2_step);
  return bits;
}

double RatePlan::step() const {
  assert(next_ < layers_.size());
  double low = -100, high = 100;
  for (int i = 0; i < 40; ++i) {
    const double middle = (low + high) / 2;
    double bits = 0;
    for (std::size_t layer = next_; layer < layers_.size(); ++layer)
      bits += std::max(
          0.0, forecast(layer, middle) + correction(layers_[layer].kind) * static_cast<double>(layers_[layer].weights));
    (bits > left_ ? low : high) = middle;
  }
  return std::exp2((low + high) / 2);
}

double RatePlan::bits_left() const {
  return next_ + 1 == layers_.size() ? left_ / static_cast<double>(layers_[next_].weights) : 0;
}

void RatePlan::done(double bits) {
  const auto& layer = layers_[next_];
  const auto weights = static_cast<double>(layer.weights);
  const double more = bits - forecast(next_, std::log2(step())) / weights;
  auto& kind = kinds_[static_cast<std::size_t>(layer.kind)];
  kind.bits = kind.met ? (kind.bits + more) / 2 : more;
  kind.met = true;
  left_ -= bits * weights;
  ++next_;
}

}  // namespace nearplane
