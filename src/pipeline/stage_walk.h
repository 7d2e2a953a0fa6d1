// Calibration tokens on their way through the blocks, stage by stage: (norm, q/k/v), (attention output),
// (norm, gate/up), (down). At each stage the Gram matrix of its inputs is summed and handed to `decide`, which may put
// other linear layers into the block; the tokens then go on through those, each linear layer applied once per token.
// With the original model beside: a second set of activations goes through the original weights, and what the inputs
// lost against it is summed, too.
// Memory: [T, d] activations (twice with the original), [T, heads x head_dim] and [T, f] stage inputs, the sums of one
// stage. The original weights need not wait for a decision, so the inputs that they meet are kept for one chunk only.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "calib/drift_gram.h"
#include "calib/gram.h"
#include "calib/windows.h"
#include "model/model.h"
#include "nearplane/quantize.h"
#include "transformer/transformer.h"

namespace nearplane {

class StageWalk {
 public:
  /// The linear layers that share the inputs of a stage.
  using Kinds = std::span<const LinearKind>;
  using Decide = std::function<void(Block& block, Kinds kinds, const Gram& gram, const DriftGram* drift)>;

  static constexpr std::int64_t kChunkTokens = 4096;  // that pass a stage at a time; part of the result's definition
  /// What the walk holds for each token of calibration, besides what it needs for a chunk.
  static std::int64_t bytes_per_token(const ModelConfig& config, bool with_original);

  StageWalk(const std::shared_ptr<const Model>& model, std::span<const Window> windows, Arithmetic arithmetic,
            bool with_original, const Observer& observer);

  /// The next block. `decide` finds all linear layers of the model in it. Error{cancelled}; Error{numerical} where
  /// inputs stop being finite.
  void next_block(const Decide& decide);

  /// [T, d] after the last block: of the quantized model and, if it is beside, of the original. Not after the last
  /// block of the model, whose outputs nobody asks for.
  std::vector<const Matrix<float>*> activations() const;
  /// The next block is `block`: its caller fills in the activations before it.
  std::vector<Matrix<float>*> go_on(std::int64_t block);

 private:
  struct Activations {
    Matrix<float> x, a, m, normed;  // a, m: stage inputs, of all tokens or, if original, of a chunk
    bool original = false;

    MatrixView<float> rows_of(Matrix<float>& inputs, std::int64_t t0, std::int64_t count) {
      if (!original) return inputs.view().rows_at(t0, count);
      return chunk_of(inputs, count, inputs.cols());
    }
    static MatrixView<float> chunk_of(Matrix<float>& inputs, std::int64_t count, std::int64_t cols) {
      if (inputs.rows() < count) inputs = Matrix<float>::uninitialized(count, cols);
      return inputs.view().rows_at(0, count);
    }
  };
  // What goes through a block: the weights it meets there and its activations.
  struct Lane {
    Block block;
    Activations& at;
  };
  using Lengths = std::span<const std::int64_t>;
  // Takes tokens [t0, t0 + count) to the inputs of a stage.
  using Enter =
      std::function<MatrixView<const float>(Lane& lane, Lengths lengths, std::int64_t t0, std::int64_t count)>;

  // Applies the weights of a stage to its inputs of tokens [t0, t0 + count).
  using Leave = std::function<void(Lane& lane, std::int64_t t0, std::int64_t count)>;

  Activations first_activations(std::span<const Token> tokens, bool original) const;
  void stage(std::int64_t inputs, const char* what, std::initializer_list<LinearKind> kinds, const Enter& enter,
             const Leave& leave, const Decide& decide);
  template <class F>
  void each_chunk(const F& body) const;
  MatrixView<const float> normed(std::span<const float> weight, Activations& at, std::int64_t t0, std::int64_t count);

  std::shared_ptr<const Model> model_;
  const ModelConfig& config_;
  std::unique_ptr<WeightSource> weights_;
  Arithmetic arithmetic_;
  const Observer& observer_;
  std::vector<std::int64_t> lengths_;
  Activations quantized_;
  std::optional<Activations> original_;
  std::vector<Lane> lanes_;  // of the block at hand
  std::int64_t index_ = 0;
};

}  // namespace nearplane
