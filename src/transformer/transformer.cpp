// The stages of a block. Everything between the linear layers is split over tokens in tiles of fixed size.
#include "transformer/transformer.h"

#include <algorithm>
#include <cassert>
#include <numeric>

#include "transformer/attention.h"
#include "transformer/for_tokens.h"
#include "transformer/head_rotation.h"
#include "transformer/scratch.h"
#include "transformer/vector_ops.h"

namespace nearplane {
namespace {

constexpr std::int64_t kTokensAtOnce = 4096;  // of forward_block: bounds its working memory

std::vector<std::int64_t> positions_of(std::span<const std::int64_t> lengths, std::span<const KvCache> caches) {
  std::vector<std::int64_t> out;
  for (std::size_t s = 0; s < lengths.size(); ++s)
    for (std::int64_t i = 0; i < lengths[s]; ++i) out.push_back((caches.empty() ? 0 : caches[s].length()) + i);
  return out;
}

void copy_rows(MatrixView<const float> from, MatrixView<float> to) {
  for (std::int64_t r = 0; r < from.rows; ++r) std::copy_n(from.row(r), from.cols, to.row(r));
}

// The sequences as attention reads them; new keys and values move to the caches if there are any.
std::vector<AttentionSequence> sequences_of(std::int64_t layer, std::span<const std::int64_t> lengths,
                                            MatrixView<const float> k, MatrixView<const float> v,
                                            std::span<KvCache> caches) {
  std::vector<AttentionSequence> out;
  std::int64_t t0 = 0;
  for (std::size_t s = 0; s < lengths.size(); t0 += lengths[s++]) {
    AttentionSequence sequence{t0, lengths[s], 0, k.rows_at(t0, lengths[s]), v.rows_at(t0, lengths[s])};
    if (!caches.empty()) {
      auto& cache = caches[s];
      sequence.start = cache.length();
      assert(sequence.start + sequence.count <= cache.capacity());
      copy_rows(sequence.keys, cache.keys(layer).rows_at(sequence.start, sequence.count));
      copy_rows(sequence.values, cache.values(layer).rows_at(sequence.start, sequence.count));
      sequence.keys = cache.keys(layer), sequence.values = cache.values(layer);
    }
    out.push_back(sequence);
  }
  return out;
}

// x += W input.
void add_linear(const Linear& linear, MatrixView<const float> input, MatrixView<float> x) {
  const auto y = scratch<float, Scratch::output>(x.rows, x.cols);
  linear.apply(input, y);
  for_tokens(x.rows, [&](std::int64_t t) { add(x.row(t), y.row(t), x.cols); });
}

void forward_part(const Block& block, const ModelConfig& config, std::span<const std::int64_t> lengths,
                  MatrixView<float> x, std::span<KvCache> caches) {
  const auto h = scratch<float, Scratch::normed>(x.rows, config.hidden);
  rms_norm(x, block.attention_norm, config.rms_eps, h);
  const auto a = scratch<float, Scratch::attention>(x.rows, config.heads * config.head_dim);
  attend(block, config, lengths, h, a, caches);
  add_attention(block, a, x);
  rms_norm(x, block.mlp_norm, config.rms_eps, h);
  const auto m = scratch<float, Scratch::hidden>(x.rows, config.intermediate);
  gate_up(block, h, m);
  add_mlp(block, m, x);
}

}  // namespace

KvCache::KvCache(const ModelConfig& config, std::int64_t capacity) : capacity_(capacity) {
  for (std::int64_t i = 0; i < config.layers; ++i) {
    keys_.emplace_back(capacity, config.kv_heads * config.head_dim);
    values_.emplace_back(capacity, config.kv_heads * config.head_dim);
  }
}

void KvCache::restart_at(std::int64_t length, std::int64_t capacity) {
  assert(length <= length_ && length <= capacity);
  length_ = length;
  if (capacity <= capacity_) return;
  capacity_ = capacity;
  for (auto* matrices : {&keys_, &values_})
    for (auto& matrix : *matrices) {
      Matrix<float> larger(capacity, matrix.cols());
      copy_rows(matrix.view().rows_at(0, length), larger.view());
      matrix = std::move(larger);
    }
}

void rms_norm(MatrixView<const float> x, std::span<const float> weight, double eps, MatrixView<float> out) {
  assert(std::ssize(weight) == x.cols && out.rows == x.rows && out.cols == x.cols);
  for_tokens(x.rows, [&](std::int64_t t) { rms_norm_row(x.row(t), weight.data(), x.cols, eps, out.row(t)); });
}

void attend(const Block& block, const ModelConfig& config, std::span<const std::int64_t> lengths,
            MatrixView<const float> h, MatrixView<float> a, std::span<KvCache> caches) {
  assert(std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}) == h.rows && a.rows == h.rows);
  assert(caches.empty() || caches.size() == lengths.size());
  if (h.rows == 0) return;
  const auto q = scratch<float, Scratch::queries>(h.rows, config.heads * config.head_dim);
  const auto k = scratch<float, Scratch::keys>(h.rows, config.kv_heads * config.head_dim);
  const auto v = scratch<float, Scratch::values>(h.rows, config.kv_heads * config.head_dim);
  block.at(LinearKind::q).apply(h, q);
  block.at(LinearKind::k).apply(h, k);
  block.at(LinearKind::v).apply(h, v);
  const HeadRotation rotation(config, positions_of(lengths, caches));
  rotation.apply(block.q_norm, q);
  rotation.apply(block.k_norm, k);
  causal_attention(config, sequences_of(block.index, lengths, k, v, caches), q, a);
}

void add_attention(const Block& block, MatrixView<const float> a, MatrixView<float> x) {
  add_linear(block.at(LinearKind::o), a, x);
}

void gate_up(const Block& block, MatrixView<const float> h, MatrixView<float> m) {
  const auto up = scratch<float, Scratch::up>(m.rows, m.cols);
  block.at(LinearKind::gate).apply(h, m);
  block.at(LinearKind::up).apply(h, up);
  for_tokens(m.rows, [&](std::int64_t t) { silu_times(m.row(t), up.row(t), m.cols); });
}

void add_mlp(const Block& block, MatrixView<const float> m, MatrixView<float> x) {
  add_linear(block.at(LinearKind::down), m, x);
}

void forward_block(const Block& block, const ModelConfig& config, std::span<const std::int64_t> lengths,
                   MatrixView<float> x, std::span<KvCache> caches) {
  std::int64_t t0 = 0;
  for (std::size_t s = 0; s < lengths.size();) {
    std::size_t end = s;
    std::int64_t count = 0;
    while (end < lengths.size() && (end == s || count + lengths[end] <= kTokensAtOnce)) count += lengths[end++];
    forward_part(block, config, lengths.subspan(s, end - s), x.rows_at(t0, count),
                 caches.empty() ? caches : caches.subspan(s, end - s));
    t0 += count, s = end;
  }
}

}  // namespace nearplane
