#include "transformer/attention.h"

#include <cmath>
#include <limits>
#include <vector>

#include "base/threads.h"
#include "kernel/few_rows.h"
#include "kernel/gemm.h"
#include "transformer/attention_tile.h"
#include "transformer/scratch.h"
#include "transformer/vector_ops.h"

namespace nearplane {
namespace {

constexpr std::int64_t kFewRows = 8;  // up to here a GEMM packs more than it multiplies: one token, mostly
constexpr auto kQueries = AttentionTile::kQueries, kKeys = AttentionTile::kKeys;

// The running softmax of one tile over all keys it may see.
class RunningSoftmax {
 public:
  RunningSoftmax(const AttentionTile& tile, const AttentionSequence& sequence)
      : tile_(tile), sequence_(sequence), dim_(tile.config.head_dim), rows_(tile.rows()) {
    queries_ = scratch<float, Scratch::tile_queries>(rows_, dim_).data;
    scores_ = scratch<float, Scratch::tile_scores>(rows_, kKeys).data;
    sums_ = scratch<float, Scratch::tile_sums>(rows_, dim_).data;
    maxima_ = scratch<float, Scratch::tile_maxima>(rows_, 1).data;
    weights_ = scratch<float, Scratch::tile_weights>(rows_, 1).data;
  }

  void run(MatrixView<const float> q, MatrixView<float> a, MatrixView<float> log_sums) {
    load(q);
    const auto end = tile_.end_key();
    for (auto k0 = tile_.first_key(); k0 < end; k0 += kKeys) absorb(k0, std::min(kKeys, end - k0));
    store(a, log_sums);
  }

 private:
  void load(MatrixView<const float> q) {
    tile_.each_row([&](std::int64_t row, std::int64_t t, std::int64_t column) {
      std::copy_n(q.row(t) + column, dim_, queries_ + row * dim_);
    });
    scale(queries_, rows_ * dim_, 1.0f / std::sqrt(static_cast<float>(dim_)));
    std::fill_n(sums_, rows_ * dim_, 0.0f);
    std::fill_n(maxima_, rows_, -std::numeric_limits<float>::infinity());
    std::fill_n(weights_, rows_, 0.0f);
  }

  // Adds keys [k0, k0 + keys) to the running softmax.
  void absorb(std::int64_t k0, std::int64_t keys) {
    const auto& k = sequence_.keys;
    const auto& v = sequence_.values;
    const auto column = tile_.key_column();
    if (rows_ <= kFewRows)
      few_rows_nt(rows_, keys, dim_, queries_, dim_, k.row(k0) + column, k.stride, scores_, keys);
    else
      gemm_nt(rows_, keys, dim_, 1.0f, queries_, dim_, k.row(k0) + column, k.stride, 0.0f, scores_, keys);
    for (std::int64_t row = 0; row < rows_; ++row) {
      const auto [begin, end] = tile_.visible(row, k0, keys);
      soften(row, scores_ + row * keys, begin, end, keys);
    }
    if (rows_ <= kFewRows)
      few_rows_nn(rows_, dim_, keys, scores_, keys, v.row(k0) + column, v.stride, sums_, dim_);
    else
      gemm_nn(rows_, dim_, keys, 1.0f, scores_, keys, v.row(k0) + column, v.stride, 1.0f, sums_, dim_);
  }

  // Scores of one row to unnormalised weights: zero outside [begin, end), relative to the largest score so far inside.
  void soften(std::int64_t row, float* scores, std::int64_t begin, std::int64_t end, std::int64_t keys) {
    std::fill(scores, scores + begin, 0.0f);
    std::fill(scores + end, scores + keys, 0.0f);
    if (begin == end) return;
    const float top = max_of(scores + begin, end - begin);
    if (top > maxima_[row]) {
      const float shrink = std::exp(maxima_[row] - top);  // 0 at the first block
      weights_[row] *= shrink;
      scale(sums_ + row * dim_, dim_, shrink);
      maxima_[row] = top;
    }
    weights_[row] += exp_shifted(scores + begin, end - begin, maxima_[row]);
  }

  void store(MatrixView<float> a, MatrixView<float> log_sums) {
    tile_.each_row([&](std::int64_t row, std::int64_t t, std::int64_t column) {
      scale(sums_ + row * dim_, dim_, 1.0f / weights_[row]);
      std::copy_n(sums_ + row * dim_, dim_, a.row(t) + column);
      if (log_sums.data) log_sums(t, column / dim_) = maxima_[row] + std::log(weights_[row]);
    });
  }

  const AttentionTile& tile_;
  const AttentionSequence& sequence_;
  std::int64_t dim_, rows_;
  float *queries_, *scores_, *sums_;  // [rows, dim], [rows, keys of a block], [rows, dim]
  float *maxima_, *weights_;          // [rows]: largest score, sum of exponentials
};

}  // namespace

void causal_attention(const ModelConfig& config, std::span<const AttentionSequence> sequences,
                      MatrixView<const float> q, MatrixView<float> a, MatrixView<float> log_sums) {
  struct Task {
    const AttentionSequence* sequence;
    std::int64_t kv_head, query;
  };
  std::vector<Task> tasks;
  for (const auto& sequence : sequences)
    for (std::int64_t query = 0; query < sequence.count; query += kQueries)
      for (std::int64_t head = 0; head < config.kv_heads; ++head) tasks.push_back({&sequence, head, query});
  parallel_for(std::ssize(tasks), [&](std::int64_t i) {
    const auto& [sequence, kv_head, query] = tasks[static_cast<std::size_t>(i)];
    const AttentionTile tile{config, kv_head, sequence->first + query, std::min(kQueries, sequence->count - query),
                             sequence->start + query};
    RunningSoftmax(tile, *sequence).run(q, a, log_sums);
  });
}

}  // namespace nearplane
