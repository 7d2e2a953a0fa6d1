#include "quant/coded_rate.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/check.h"

namespace nearplane {
namespace {

constexpr std::int64_t kSampleRows = 96;  // at least; of more rows, one in kSampleShare
constexpr std::int64_t kSampleShare = 8;
constexpr int kSampleSearches = 10, kSearches = 12;
constexpr int kPriceSearches = 3;                              // at one step until prices have settled
constexpr int kMostWiderSteps = 200;                           // octaves
constexpr double kSampleTolerance = 0.01, kTolerance = 0.003;  // bits per weight
constexpr double kSettled = 0.5, kPricedMove = 0.5, kFar = 4;  // octaves
constexpr int kMostReach = 255;

lattice::LevelCosts costs_of(const LevelModel& model, const LevelTables& tables, int reach) {
  lattice::LevelCosts out;
  out.classes = model.classes, out.reach = reach;
  out.row_class = model.row, out.column_class = model.column;
  for (int cls = 0; cls < model.classes; ++cls)
    for (int quantizer = 0; quantizer < 2; ++quantizer)
      for (int level = -reach; level <= reach; ++level)
        out.bits.push_back(
            static_cast<float>(tables.table(model, cls, std::min(quantizer, model.quantizers() - 1)).bits(level)));
  return out;
}

// What the levels of one search say about the next.
struct Prices {
  LevelTables tables;
  int reach = 8;

  Prices(const LevelModel& model, const Matrix<std::int16_t>& levels) : tables(fit_tables(model, levels.span())) {
    for (const int level : levels.span()) reach = std::min(std::max(reach, std::abs(level) + 1), kMostReach);
  }
};

// The rows of a problem that are searched, all of them or a sample.
template <class T>
struct Rows {
  const RateProblem<T>& problem;
  Matrix<float> unit;
  LevelModel model;

  Rows(const RateProblem<T>& p, std::int64_t every)
      : problem(p), unit((p.unit.rows + every - 1) / every, p.unit.cols), model(p.model) {
    model.row.clear();
    for (std::int64_t i = 0; i < unit.rows(); ++i) {
      std::copy_n(p.unit.row(i * every), unit.cols(), unit.row(i));
      model.row.push_back(p.model.row[static_cast<std::size_t>(i * every)]);
    }
  }

  // nullopt if levels leave 16 bits.
  std::optional<RatedLevels> search(double step, const std::optional<Prices>& prices) const {
    RatedLevels out;
    out.step = step;
    out.levels = Matrix<std::int16_t>::uninitialized(unit.rows(), unit.cols());
    auto t = Matrix<float>::uninitialized(unit.rows(), unit.cols());
    for (std::int64_t i = 0; i < t.size(); ++i)
      t.data()[i] = static_cast<float>(static_cast<double>(unit.data()[i]) / step);
    const auto costs = prices ? costs_of(model, prices->tables, prices->reach) : lattice::LevelCosts{};
    const lattice::ListOptions options{.trellis = model.trellis,
                                       .survivors = problem.survivors,
                                       .lambda = prices ? price_of_bit(model.trellis.states) : 0.0,
                                       .restart = model.restart};
    out.outcome = lattice::list_search(t.view(), problem.l, options, costs, out.levels.view());
    for (const double error : out.outcome.error)
      if (!std::isfinite(error)) return std::nullopt;
    return out;
  }
};

// Where to look next for `target` bits: they fall with log2(step), by about one per octave. No bracket is kept: bits at
// the same step become fewer as prices settle.
class Place {
 public:
  Place(double x, double target) : x_(x), target_(target) {}
  double x() const { return x_; }
  /// Bits so far were those of other rows.
  void forget() { last_x_ = NAN; }
  /// True if it stays so close that what was learned here holds there.
  bool next(double bits, double most) {
    if (std::abs(x_ - last_x_) > 0.05) slope_ = std::clamp((last_bits_ - bits) / (x_ - last_x_), 0.5, 1.2);
    last_x_ = x_, last_bits_ = bits;
    x_ = std::max(x_ + std::clamp((bits - target_) / slope_, -most, most), least_);
    return std::abs(x_ - last_x_) < kSettled;
  }
  /// Levels leave 16 bits: the step is too small.
  void too_small() { least_ = x_ += 1; }

 private:
  double x_, target_, slope_ = 1, least_ = -INFINITY;
  double last_x_ = NAN, last_bits_ = 0;
};

double weights_of(const LevelModel& model) { return static_cast<double>(model.rows() * model.cols()); }

LevelModel without_row_classes(LevelModel model) {
  auto rows = model.row;
  const auto middle = rows.begin() + std::ssize(rows) / 2;
  std::nth_element(rows.begin(), middle, rows.end());
  std::fill(model.row.begin(), model.row.end(), *middle);
  return model;
}

template <class T>
class RateSearch {
 public:
  RateSearch(const RateProblem<T>& problem, double bits) : problem_(problem), target_(bits) {}

  RatedLevels run() {
    Place place(guess(), target_);
    if (every() > 1) look_at_sample(place);
    place.forget();
    return look_at_all(place);
  }

  RatedLevels at(double step) {
    for (int i = 0; every() > 1 && i < kPriceSearches; ++i) {
      const Rows<T> some(problem_, every());
      if (const auto found = some.search(step, prices_)) learn(some.model, found->levels);
    }
    Rows<T> all(problem_, 1);
    RatedLevels best;
    for (int i = every() > 1 ? kPriceSearches - 1 : 0; i < kPriceSearches; ++i) {
      auto found = all.search(step, prices_);
      if (!found) return {};
      learn(all.model, found->levels);
      if (i == kPriceSearches - 1) choose_classes(all.model, found->levels);
      encode(all.model, *found);
      best = std::move(*found);
    }
    return best;
  }

 private:
  std::int64_t every() const { return std::min(kSampleShare, problem_.unit.rows / kSampleRows); }

  // log2 of the step if levels were Gaussian and as large as the weights.
  double guess() const {
    double squares = 0;
    for (std::int64_t i = 0; i < problem_.unit.rows; ++i)
      for (std::int64_t j = 0; j < problem_.unit.cols; ++j)
        squares += static_cast<double>(problem_.unit(i, j)) * static_cast<double>(problem_.unit(i, j));
    return std::log2(squares / weights_of(problem_.model)) / 2 + 2.05 - target_;
  }

  double bits_with(double stream_bytes) const {
    return 8 * (static_cast<double>(problem_.other_bytes) + stream_bytes) / weights_of(problem_.model);
  }

  // What all rows would take, from levels of some.
  double forecast(const LevelTables& tables, const LevelModel& some) const {
    const auto blocks = (problem_.unit.rows + kLevelBlockRows - 1) / kLevelBlockRows;
    const auto bytes = tables.own_bits / 8 + static_cast<double>(17 + tables.run.back() + 20 * blocks);
    return tables.bits / weights_of(some) + bits_with(bytes);
  }

  // True if the levels were found with prices.
  bool learn(const LevelModel& model, const Matrix<std::int16_t>& levels) {
    const bool priced = prices_.has_value();
    prices_.emplace(model, levels);
    return priced;
  }

  // Levels without prices may be anywhere: far from them their frequencies say nothing. Priced ones are followed in
  // small steps, because prices shape what they are learned from.
  void move(Place& place, double bits, bool priced) {
    if (!place.next(bits, priced ? kPricedMove : kFar) && !priced) prices_.reset();
  }

  void look_at_sample(Place& place) {
    const Rows<T> some(problem_, every());
    for (int i = 0; i < kSampleSearches; ++i) {
      const auto found = some.search(std::exp2(place.x()), prices_);
      if (!found) {
        place.too_small();
        continue;
      }
      const bool priced = learn(some.model, found->levels);
      const double bits = forecast(prices_->tables, some.model);
      if (priced && std::abs(bits - target_) < kSampleTolerance) break;
      move(place, bits, priced);
    }
  }

  RatedLevels look_at_all(Place& place) {
    Rows<T> all(problem_, 1);
    RatedLevels best;
    double least = INFINITY;
    for (int i = 0; i < kSearches && least > kTolerance; ++i) {
      auto found = all.search(std::exp2(place.x()), prices_);
      if (!found) {
        place.too_small();
        continue;
      }
      const bool priced = learn(all.model, found->levels);
      if (best.stream.empty()) choose_classes(all.model, found->levels);
      encode(all.model, *found);
      move(place, found->bits, priced);
      const double gap = std::abs(found->bits - target_);
      if (priced && gap < least)
        least = gap, best = std::move(*found);
      else if (best.stream.empty())
        best = std::move(*found);
    }
    return best;
  }

  void encode(const LevelModel& model, RatedLevels& found) const {
    found.stream = encode_levels(model, prices_->tables, found.levels.span());
    found.bits = bits_with(static_cast<double>(found.stream.size()));
  }

  // Row classes only if the tables they sharpen are worth them.
  void choose_classes(LevelModel& model, const Matrix<std::int16_t>& levels) {
    auto plain = without_row_classes(model);
    Prices other(plain, levels);
    if (other.tables.bits + other.tables.own_bits > prices_->tables.bits + prices_->tables.own_bits) return;
    model = std::move(plain), prices_ = std::move(other);
  }

  const RateProblem<T>& problem_;
  double target_;
  std::optional<Prices> prices_;
};

// Levels 0 and what they take.
template <class T>
RatedLevels nothing(const RateProblem<T>& problem) {
  RatedLevels out;
  out.step = 1;
  out.levels = Matrix<std::int16_t>(problem.unit.rows, problem.unit.cols);
  const auto model = without_row_classes(problem.model);
  out.stream = encode_levels(model, fit_tables(model, out.levels.span()), out.levels.span());
  out.bits = 8 * static_cast<double>(problem.other_bytes + std::ssize(out.stream)) / weights_of(model);
  out.outcome.error.resize(static_cast<std::size_t>(problem.unit.rows));
  return out;
}

template <class T>
bool all_zero(const RateProblem<T>& problem) {
  for (std::int64_t i = 0; i < problem.unit.rows; ++i)
    for (std::int64_t j = 0; j < problem.unit.cols; ++j)
      if (problem.unit(i, j) != 0) return false;
  return true;
}

[[noreturn]] void refuse_spread(const std::string& where) {
  fail_input(where, "its weights are too far apart for one step: levels leave 16 bits");
}

}  // namespace

template <class T>
RatedLevels levels_with(const RateProblem<T>& problem, double step, const std::string& where) {
  if (all_zero(problem)) return nothing(problem);
  for (int octave = 0; octave < kMostWiderSteps; ++octave) {
    auto found = RateSearch<T>(problem, 0).at(std::ldexp(step, octave));
    if (!found.stream.empty()) return found;
  }
  refuse_spread(where);
}

template <class T>
RatedLevels levels_at(const RateProblem<T>& problem, double bits, const std::string& where) {
  auto zero = nothing(problem);
  if (bits < zero.bits)
    fail_input(where, "{:.3f} bits per weight are out of reach of {} x {} weights: {:.3f} to {} are not", bits,
               problem.unit.rows, problem.unit.cols, zero.bits, kMostBits);
  if (all_zero(problem)) return zero;
  auto found = RateSearch<T>(problem, bits).run();
  if (found.stream.empty()) refuse_spread(where);
  return found;
}

template RatedLevels levels_with(const RateProblem<float>&, double, const std::string&);
template RatedLevels levels_with(const RateProblem<double>&, double, const std::string&);
template RatedLevels levels_at(const RateProblem<float>&, double, const std::string&);
template RatedLevels levels_at(const RateProblem<double>&, double, const std::string&);

}  // namespace nearplane
