#include "pipeline/stage_walk.h"

#include "base/check.h"
#include "runtime/network.h"

namespace nearplane {

// As first_activations allocates them.
std::int64_t StageWalk::bytes_per_token(const ModelConfig& config, bool with_original) {
  const auto lanes = with_original ? 2 : 1;
  return 4 * (lanes * config.hidden + config.heads * config.head_dim + config.intermediate);
}

StageWalk::StageWalk(const std::shared_ptr<const Model>& model, std::span<const Window> windows, Arithmetic arithmetic,
                     bool with_original, const Observer& observer)
    : model_(model),
      config_(model->config()),
      weights_(weights_of(model)),
      arithmetic_(arithmetic),
      observer_(observer) {
  std::vector<Token> tokens;
  for (const auto& window : windows) {
    lengths_.push_back(std::ssize(window));
    tokens.insert(tokens.end(), window.begin(), window.end());
  }
  quantized_ = first_activations(tokens, false);
  if (with_original) original_ = first_activations(tokens, true);
}

StageWalk::Activations StageWalk::first_activations(std::span<const Token> tokens, bool original) const {
  const auto total = std::ssize(tokens), kept = original ? 0 : total;
  Activations out{.x = Matrix<float>::uninitialized(total, config_.hidden),
                  .a = Matrix<float>::uninitialized(kept, config_.heads * config_.head_dim),
                  .m = Matrix<float>::uninitialized(kept, config_.intermediate),
                  .normed = {},
                  .original = original};
  embed(*weights_, tokens, out.x.view());
  return out;
}

void StageWalk::next_block(const Decide& decide) {
  lanes_.clear();
  lanes_.push_back({load_block(*weights_, index_, compute_of(arithmetic_)), quantized_});
  if (original_) lanes_.push_back({load_block(*weights_, index_, compute_of(arithmetic_)), *original_});

  // q/k/v and gate/up are left as the next stage is entered: their outputs are kept nowhere.
  const Leave stay = [](Lane&, auto, auto) {};
  stage(
      config_.hidden, "q/k/v", {LinearKind::q, LinearKind::k, LinearKind::v},
      [&](Lane& lane, Lengths, auto t0, auto count) { return normed(lane.block.attention_norm, lane.at, t0, count); },
      stay, decide);
  stage(
      quantized_.a.cols(), "attention output", {LinearKind::o},
      [&](Lane& lane, Lengths lengths, auto t0, auto count) {
        const auto a = lane.at.rows_of(lane.at.a, t0, count);
        attend(lane.block, config_, lengths, normed(lane.block.attention_norm, lane.at, t0, count), a, {});
        return MatrixView<const float>(a);
      },
      [&](Lane& lane, auto t0, auto count) {
        add_attention(lane.block, lane.at.rows_of(lane.at.a, t0, count), lane.at.x.view().rows_at(t0, count));
      },
      decide);
  stage(
      config_.hidden, "gate/up", {LinearKind::gate, LinearKind::up},
      [&](Lane& lane, Lengths, auto t0, auto count) { return normed(lane.block.mlp_norm, lane.at, t0, count); }, stay,
      decide);
  stage(
      config_.intermediate, "down", {LinearKind::down},
      [&](Lane& lane, Lengths, auto t0, auto count) {
        const auto m = lane.at.rows_of(lane.at.m, t0, count);
        gate_up(lane.block, normed(lane.block.mlp_norm, lane.at, t0, count), m);
        return MatrixView<const float>(m);
      },
      [&](Lane& lane, auto t0, auto count) {
        if (index_ + 1 == config_.layers) return;  // nobody asks for the outputs of the last block
        add_mlp(lane.block, lane.at.rows_of(lane.at.m, t0, count), lane.at.x.view().rows_at(t0, count));
      },
      decide);
  ++index_;
}

std::vector<const Matrix<float>*> StageWalk::activations() const {
  std::vector<const Matrix<float>*> lanes{&quantized_.x};
  if (original_) lanes.push_back(&original_->x);
  return lanes;
}

std::vector<Matrix<float>*> StageWalk::go_on(std::int64_t block) {
  index_ = block;
  std::vector<Matrix<float>*> lanes{&quantized_.x};
  if (original_) lanes.push_back(&original_->x);
  return lanes;
}

void StageWalk::stage(std::int64_t inputs, const char* what, std::initializer_list<LinearKind> kinds,
                      const Enter& enter, const Leave& leave, const Decide& decide) {
  const auto where = fmt::format("{}: block {}, input of {}", model_->path().string(), index_, what);
  Gram gram(inputs, arithmetic_);
  std::optional<DriftGram> drift;
  if (original_) drift.emplace(inputs, arithmetic_);
  each_chunk([&](Lengths lengths, auto t0, auto count) {
    const auto arriving = enter(lanes_[0], lengths, t0, count);
    gram.add(arriving, where);
    if (!drift) return;
    drift->add(arriving, enter(lanes_[1], lengths, t0, count), where);
    leave(lanes_[1], t0, count);
  });
  decide(lanes_[0].block, Kinds(kinds.begin(), kinds.size()), gram, drift ? &*drift : nullptr);
  each_chunk([&](Lengths, auto t0, auto count) { leave(lanes_[0], t0, count); });
}

template <class F>
void StageWalk::each_chunk(const F& body) const {
  std::int64_t t0 = 0;
  for (std::size_t s = 0; s < lengths_.size();) {
    if (observer_.cancelled()) throw Error(ErrorCode::cancelled, "quantization stopped");
    std::size_t end = s;
    std::int64_t count = 0;
    while (end < lengths_.size() && (end == s || count + lengths_[end] <= kChunkTokens)) count += lengths_[end++];
    body(Lengths(lengths_).subspan(s, end - s), t0, count);
    t0 += count, s = end;
  }
}

MatrixView<const float> StageWalk::normed(std::span<const float> weight, Activations& at, std::int64_t t0,
                                          std::int64_t count) {
  const auto out = Activations::chunk_of(at.normed, count, config_.hidden);
  rms_norm(at.x.view().rows_at(t0, count), weight, config_.rms_eps, out);
  return out;
}

}  // namespace nearplane
