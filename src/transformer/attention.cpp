#include "transformer/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/threads.h"
#include "kernel/gemm.h"
#include "transformer/scratch.h"
#include "transformer/vector_ops.h"

namespace nearplane {
namespace {

constexpr std::int64_t kQueries = 64;  // a tile has this many positions, of all heads that share a key head
constexpr std::int64_t kKeys = 256;    // keys of one block; scores of a tile stay in the second-level cache

// The queries of one tile against all keys they may see.
class Tile {
 public:
  Tile(const ModelConfig& config, const AttentionSequence& sequence, std::int64_t kv_head, std::int64_t first_query)
      : config_(config),
        sequence_(sequence),
        dim_(config.head_dim),
        group_(config.heads / config.kv_heads),
        kv_head_(kv_head),
        first_(first_query),
        count_(std::min(kQueries, sequence.count - first_query)),
        rows_(group_ * count_) {
    queries_ = scratch<float, Scratch::tile_queries>(rows_, dim_).data;
    scores_ = scratch<float, Scratch::tile_scores>(rows_, kKeys).data;
    sums_ = scratch<float, Scratch::tile_sums>(rows_, dim_).data;
    maxima_ = scratch<float, Scratch::tile_maxima>(rows_, 1).data;
    weights_ = scratch<float, Scratch::tile_weights>(rows_, 1).data;
  }

  void run(MatrixView<const float> q, MatrixView<float> a) {
    load(q);
    const auto begin = first_key(first_), end = sequence_.start + first_ + count_;
    for (std::int64_t k0 = begin; k0 < end; k0 += kKeys) absorb(k0, std::min(kKeys, end - k0));
    store(a);
  }

 private:
  // Row j * count_ + i is head j of the group at query first_ + i.
  std::int64_t column(std::int64_t j) const { return (kv_head_ * group_ + j) * dim_; }
  std::int64_t first_key(std::int64_t query) const {
    const auto position = sequence_.start + query;
    return config_.sliding_window > 0 ? std::max<std::int64_t>(0, position - config_.sliding_window + 1) : 0;
  }

  void load(MatrixView<const float> q) {
    const float factor = 1.0f / std::sqrt(static_cast<float>(dim_));
    for (std::int64_t j = 0; j < group_; ++j)
      for (std::int64_t i = 0; i < count_; ++i)
        std::copy_n(q.row(sequence_.first + first_ + i) + column(j), dim_, queries_ + (j * count_ + i) * dim_);
    scale(queries_, rows_ * dim_, factor);
    std::fill_n(sums_, rows_ * dim_, 0.0f);
    std::fill_n(maxima_, rows_, -std::numeric_limits<float>::infinity());
    std::fill_n(weights_, rows_, 0.0f);
  }

  // Adds keys [k0, k0 + keys) to the running softmax.
  void absorb(std::int64_t k0, std::int64_t keys) {
    const auto& k = sequence_.keys;
    const auto& v = sequence_.values;
    gemm_nt(rows_, keys, dim_, 1.0f, queries_, dim_, k.row(k0) + kv_head_ * dim_, k.stride, 0.0f, scores_, keys);
    for (std::int64_t row = 0; row < rows_; ++row) {
      const auto query = first_ + row % count_;
      const auto begin = std::clamp<std::int64_t>(first_key(query) - k0, 0, keys);
      const auto end = std::clamp<std::int64_t>(sequence_.start + query + 1 - k0, begin, keys);
      soften(row, scores_ + row * keys, begin, end, keys);
    }
    gemm_nn(rows_, dim_, keys, 1.0f, scores_, keys, v.row(k0) + kv_head_ * dim_, v.stride, 1.0f, sums_, dim_);
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

  void store(MatrixView<float> a) {
    for (std::int64_t j = 0; j < group_; ++j)
      for (std::int64_t i = 0; i < count_; ++i) {
        const auto row = j * count_ + i;
        scale(sums_ + row * dim_, dim_, 1.0f / weights_[row]);
        std::copy_n(sums_ + row * dim_, dim_, a.row(sequence_.first + first_ + i) + column(j));
      }
  }

  const ModelConfig& config_;
  const AttentionSequence& sequence_;
  std::int64_t dim_, group_, kv_head_, first_, count_, rows_;
  float *queries_, *scores_, *sums_;  // [rows, dim], [rows, keys of a block], [rows, dim]
  float *maxima_, *weights_;          // [rows]: largest score, sum of exponentials
};

}  // namespace

void causal_attention(const ModelConfig& config, std::span<const AttentionSequence> sequences,
                      MatrixView<const float> q, MatrixView<float> a) {
  struct Task {
    const AttentionSequence* sequence;
    std::int64_t kv_head, query;
  };
  std::vector<Task> tasks;
  for (const auto& sequence : sequences)
    for (std::int64_t query = 0; query < sequence.count; query += kQueries)
      for (std::int64_t head = 0; head < config.kv_heads; ++head) tasks.push_back({&sequence, head, query});
  parallel_for(std::ssize(tasks), [&](std::int64_t i) {
    const auto& task = tasks[static_cast<std::size_t>(i)];
    Tile(config, *task.sequence, task.kv_head, task.query).run(q, a);
  });
}

}  // namespace nearplane
