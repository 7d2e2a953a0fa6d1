// The unit of blockwise attention: some query positions of one sequence, of all heads that share a key head, against
// one block of keys. Row j * count + i of a tile is head j of the group at query first + i.
#pragma once

#include <algorithm>

#include "model/model.h"
#include "tensor/matrix.h"

namespace nearplane {

struct AttentionTile {
  static constexpr std::int64_t kQueries = 64;  // positions
  static constexpr std::int64_t kKeys = 256;    // of one block; scores of a tile stay in the second-level cache

  const ModelConfig& config;
  std::int64_t kv_head;
  std::int64_t first;     // row of its first query in q
  std::int64_t count;     // query positions
  std::int64_t position;  // of its first query in the sequence

  std::int64_t rows() const { return group() * count; }
  std::int64_t first_key() const { return first_key_of(0); }
  std::int64_t end_key() const { return position + count; }
  /// First column of the tile's keys and values.
  std::int64_t key_column() const { return kv_head * config.head_dim; }

  struct Range {
    std::int64_t begin, end;
  };
  /// The keys a row may see among [k0, k0 + keys), counted from k0.
  Range visible(std::int64_t row, std::int64_t k0, std::int64_t keys) const {
    const auto begin = std::clamp<std::int64_t>(first_key_of(row % count) - k0, 0, keys);
    return {begin, std::clamp<std::int64_t>(position + row % count + 1 - k0, begin, keys)};
  }

  /// body(row of the tile, row of q, column of q) for all rows; a row has head_dim columns.
  template <class F>
  void each_row(const F& body) const {
    for (std::int64_t j = 0; j < group(); ++j)
      for (std::int64_t i = 0; i < count; ++i)
        body(j * count + i, first + i, (kv_head * group() + j) * config.head_dim);
  }

 private:
  std::int64_t group() const { return config.heads / config.kv_heads; }
  std::int64_t first_key_of(std::int64_t query) const {
    const auto window = config.sliding_window;
    return window > 0 ? std::max<std::int64_t>(0, position + query - window + 1) : 0;
  }
};

}  // namespace nearplane
