// A number for each pair of state and tuple, zero at first: an array where all levels are small, as nearly all are, an
// ordered map elsewhere.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "codec/tuple_code.h"

namespace nearplane {

class TupleMap {
 public:
  explicit TupleMap(const TupleShape& shape)
      : k_(static_cast<std::size_t>(shape.k)), near_(static_cast<std::size_t>(shape.trellis.states) << (kBits * k_)) {}

  std::uint64_t& operator()(int state, const Tuple& tuple) {
    auto index = static_cast<std::size_t>(state);
    for (std::size_t i = 0; i < k_; ++i) {
      const auto place = static_cast<unsigned>(tuple[i] + kHalf);
      if (place >= 2 * kHalf) return far_[{state, tuple}];
      index = index << kBits | place;
    }
    return near_[index];
  }
  /// visit(state, tuple, number) for every number above zero, in no particular order.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (std::size_t index = 0; index < near_.size(); ++index) {
      if (near_[index] == 0) continue;
      Tuple tuple{};
      for (std::size_t i = 0; i < k_; ++i)
        tuple[i] =
            static_cast<std::int16_t>(static_cast<int>(index >> (kBits * (k_ - 1 - i)) & (2 * kHalf - 1)) - kHalf);
      visit(static_cast<int>(index >> (kBits * k_)), tuple, near_[index]);
    }
    for (const auto& [key, number] : far_) visit(key.first, key.second, number);
  }

 private:
  static constexpr int kBits = 5, kHalf = 1 << (kBits - 1);
  std::size_t k_;
  std::vector<std::uint64_t> near_;
  std::map<std::pair<int, Tuple>, std::uint64_t> far_;
};

/// The words that stand for tuples: their own, or a substitute that is searched for once.
class TupleWords {
 public:
  TupleWords(const TupleCode& code, const std::string& where) : code_(code), where_(where), index_(code.shape()) {
    for (int state = 0; state < code.shape().trellis.states; ++state)
      for (std::size_t i = 0; i < code.book(state).size(); ++i) index_(state, code.book(state)[i].tuple) = i + 1;
  }
  const TupleWord& operator()(int state, const Tuple& tuple) {
    auto& found = index_(state, tuple);
    if (found == 0) found = 1 + code_.substitute(state, tuple, where_);
    return code_.book(state)[found - 1];
  }

 private:
  const TupleCode& code_;
  const std::string& where_;
  TupleMap index_;  // 1 + place in the book
};

}  // namespace nearplane
