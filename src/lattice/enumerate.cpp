// Schnorr-Euchner enumeration as a loop over depth: at every column a walk over its levels, nearest first, cut off as
// soon as the error so far reaches that of the best point known.
#include <algorithm>

#include "base/check.h"
#include "lattice/closest_vector.h"
#include "lattice/levels.h"

namespace nearplane::lattice {
namespace {

// Columns [first, end) of a problem whose columns before `first` are decided.
class Walk {
 public:
  Walk(const ClosestVector& p, std::int64_t first, std::int64_t end, std::vector<std::int64_t>& codes)
      : p_(p), first_(first), end_(end), codes_(codes), best_codes_(codes), columns_(end - first) {}

  // Leaves the best codes in `codes`. True if the whole tree was walked within the budget.
  bool run(std::int64_t budget, std::int64_t& nodes) {
    start_with_nearest_plane();
    bool complete = true;
    std::int64_t k = first_;
    enter(k);
    while (k >= first_) {
      if (budget-- <= 0) {
        complete = false;
        break;
      }
      ++nodes;
      const double error = error_at(k);
      if (!(error < best_)) {  // levels come by increasing distance: all further ones are worse
        --k;
        while (k >= first_ && !advance(k)) --k;
      } else if (k + 1 < end_) {
        enter(++k);
        at(k).before = error;
      } else {
        best_ = error, best_codes_ = codes_;
        while (k >= first_ && !advance(k)) --k;
      }
    }
    codes_ = best_codes_;
    return complete;
  }

 private:
  struct Column {
    double target = 0, before = 0;
    Levels levels;
  };

  Column& at(std::int64_t k) { return columns_[k - first_]; }
  void enter(std::int64_t k) {
    const double target = aim(p_, codes_, k);
    at(k) = {.target = target, .before = 0, .levels = Levels(p_, target)};
    codes_[k] = at(k).levels.current();
  }
  bool advance(std::int64_t k) {
    if (!at(k).levels.next()) return false;
    codes_[k] = at(k).levels.current();
    return true;
  }
  double error_at(std::int64_t k) {
    const double e = p_.l(k, k) * (at(k).target - static_cast<double>(codes_[k]));
    return at(k).before + e * e;
  }
  void start_with_nearest_plane() {
    double error = 0;
    for (auto k = first_; k < end_; ++k) {
      enter(k);
      at(k).before = error;
      error = error_at(k);
    }
    best_ = error, best_codes_ = codes_;
  }

  const ClosestVector& p_;
  std::int64_t first_, end_;
  std::vector<std::int64_t>&codes_, best_codes_;
  std::vector<Column> columns_;
  double best_ = 0;
};

}  // namespace

Solution enumerate_blocks(const ClosestVector& p, std::int64_t block, std::int64_t budget) {
  check(p, "enumeration");
  if (block < 1) fail_input("enumeration", "blocks of {} columns are empty", block);
  if (budget < 0) fail_input("enumeration", "a budget of {} nodes is negative", budget);
  Solution out;
  out.codes.resize(p.target.size());
  out.optimal = block >= p.size();
  for (std::int64_t k = 0; k < p.size(); k += std::min(block, p.size() - k)) {
    const bool complete = Walk(p, k, k + std::min(block, p.size() - k), out.codes).run(budget, out.nodes);
    out.optimal = out.optimal && complete;
  }
  out.error = error_of(p, out.codes);
  return out;
}

Solution enumerate(const ClosestVector& p, std::int64_t budget) {
  return enumerate_blocks(p, std::max<std::int64_t>(p.size(), 1), budget);
}

}  // namespace nearplane::lattice
