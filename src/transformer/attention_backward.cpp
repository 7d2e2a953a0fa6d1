#include "transformer/attention_backward.h"

#include <cassert>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/threads.h"
#include "kernel/gemm.h"
#include "transformer/attention_tile.h"
#include "transformer/scratch.h"
#include "transformer/vector_ops.h"

namespace nearplane {
namespace {

constexpr auto kQueries = AttentionTile::kQueries, kKeys = AttentionTile::kKeys;

// Keys, values and their gradients of one sequence and one key head, row u = position u.
struct KeySide {
  MatrixView<const float> k, v;
  MatrixView<float> dk, dv;
};

// The gradients that pass through the queries of one tile.
class TileGradients {
 public:
  explicit TileGradients(const AttentionTile& tile)
      : tile_(tile),
        dim_(tile.config.head_dim),
        rows_(tile.rows()),
        factor_(1.0f / std::sqrt(static_cast<float>(dim_))) {
    q_ = scratch<float, Scratch::tile_queries>(rows_, dim_).data;
    da_ = scratch<float, Scratch::tile_output_gradients>(rows_, dim_).data;
    dq_ = scratch<float, Scratch::tile_sums>(rows_, dim_).data;
    p_ = scratch<float, Scratch::tile_scores>(rows_, kKeys).data;
    ds_ = scratch<float, Scratch::tile_score_gradients>(rows_, kKeys).data;
    log_sums_ = scratch<float, Scratch::tile_maxima>(rows_, 1).data;
    means_ = scratch<float, Scratch::tile_weights>(rows_, 1).data;
  }

  // dq of the tile; adds its share to dk and dv.
  void run(const AttentionValues& values, MatrixView<const float> da, const KeySide& keys, MatrixView<float> dq) {
    load(values, da);
    const auto end = tile_.end_key();
    for (auto k0 = tile_.first_key(); k0 < end; k0 += kKeys) absorb(k0, std::min(kKeys, end - k0), keys);
    scale(dq_, rows_ * dim_, factor_);
    tile_.each_row([&](std::int64_t row, std::int64_t t, std::int64_t column) {
      std::copy_n(dq_ + row * dim_, dim_, dq.row(t) + column);
    });
  }

 private:
  void load(const AttentionValues& values, MatrixView<const float> da) {
    tile_.each_row([&](std::int64_t row, std::int64_t t, std::int64_t column) {
      std::copy_n(values.q.row(t) + column, dim_, q_ + row * dim_);
      std::copy_n(da.row(t) + column, dim_, da_ + row * dim_);
      log_sums_[row] = values.log_sums(t, column / dim_);
      means_[row] = dot(values.a.row(t) + column, da.row(t) + column, dim_);
    });
    scale(q_, rows_ * dim_, factor_);
    std::fill_n(dq_, rows_ * dim_, 0.0f);
  }

  void absorb(std::int64_t k0, std::int64_t keys, const KeySide& side) {
    const auto k = side.k.rows_at(k0, keys), v = side.v.rows_at(k0, keys);
    const auto dk = side.dk.rows_at(k0, keys), dv = side.dv.rows_at(k0, keys);
    gemm_nt(rows_, keys, dim_, 1.0f, q_, dim_, k.data, k.stride, 0.0f, p_, keys);
    gemm_nt(rows_, keys, dim_, 1.0f, da_, dim_, v.data, v.stride, 0.0f, ds_, keys);
    for (std::int64_t row = 0; row < rows_; ++row) soften(row, k0, keys);
    gemm_tn(keys, dim_, rows_, 1.0f, p_, keys, da_, dim_, 1.0f, dv.data, dv.stride);
    gemm_tn(keys, dim_, rows_, 1.0f, ds_, keys, q_, dim_, 1.0f, dk.data, dk.stride);
    gemm_nn(rows_, dim_, keys, 1.0f, ds_, keys, k.data, k.stride, 1.0f, dq_, dim_);
  }

  // One row of scores to weights p, of da . v to ds; zero outside what the row may see.
  void soften(std::int64_t row, std::int64_t k0, std::int64_t keys) {
    const auto [begin, end] = tile_.visible(row, k0, keys);
    float *p = p_ + row * keys, *ds = ds_ + row * keys;
    for (float* x : {p, ds}) std::fill(x, x + begin, 0.0f), std::fill(x + end, x + keys, 0.0f);
    exp_shifted(p + begin, end - begin, log_sums_[row]);
    softmax_backward(p + begin, ds + begin, end - begin, means_[row]);
  }

  const AttentionTile& tile_;
  std::int64_t dim_, rows_;
  float factor_;
  float *q_, *da_, *dq_;      // [rows, dim]
  float *p_, *ds_;            // [rows, keys of a block]
  float *log_sums_, *means_;  // [rows]; means: da . a = sum over all keys of p dp
};

}  // namespace

void causal_attention_backward(const ModelConfig& config, std::span<const std::int64_t> lengths,
                               const AttentionValues& values, MatrixView<const float> da, MatrixView<float> dq,
                               MatrixView<float> dk, MatrixView<float> dv) {
  assert(std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}) == da.rows);
  std::vector<std::int64_t> firsts(lengths.size());
  std::exclusive_scan(lengths.begin(), lengths.end(), firsts.begin(), std::int64_t{0});
  parallel_for(std::ssize(lengths) * config.kv_heads, [&](std::int64_t task) {
    const auto s = static_cast<std::size_t>(task / config.kv_heads);
    const auto kv_head = task % config.kv_heads, first = firsts[s], length = lengths[s];
    const auto part = [&](auto x) { return x.block(first, kv_head * config.head_dim, length, config.head_dim); };
    const KeySide keys{part(values.k), part(values.v), part(dk), part(dv)};
    for (const auto& x : {keys.dk, keys.dv})
      for (std::int64_t u = 0; u < length; ++u) std::fill_n(x.row(u), x.cols, 0.0f);
    for (std::int64_t query = 0; query < length; query += kQueries) {
      const AttentionTile tile{config, kv_head, first + query, std::min(kQueries, length - query), query};
      TileGradients(tile).run(values, da, keys, dq);
    }
  });
}

}  // namespace nearplane
