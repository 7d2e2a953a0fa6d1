// check W -> costs of the columns -> scales of all blocks -> nearest plane, each weight on its sub-block's levels ->
// pack.
#include "quant/quantize_blocks.h"

#include <cmath>
#include <numeric>

#include "base/check.h"
#include "base/threads.h"
#include "lattice/bound.h"
#include "lattice/error.h"
#include "quant/block_scales.h"
#include "quant/by_weight.h"
#include "quant/hessian_state.h"
#include "quant/measure.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

// Of the dearest column: a column that costs nothing at all leaves its sub-block without a best scale.
constexpr double kLeastCost = 1e-9;

class BlockSolver {
 public:
  BlockSolver(const Matrix<float>& w, const Hessian::State& hessian, const GridOptions& options,
              const std::string& where)
      : w_(w), hessian_(hessian), options_(options), where_(where), layout_(*block_layout(block_type(options.blocks))) {
    out_.rows = w.rows(), out_.cols = w.cols(), out_.type = block_type(options.blocks);
    if (w.cols() % layout_.block != 0)
      fail_input(where, "{} blocks of {} do not divide {} columns", dtype_info(out_.type).name, layout_.block,
                 w.cols());
    parts_.resize(static_cast<std::size_t>(w.rows() * blocks()));
    clipped_.resize(static_cast<std::size_t>(w.rows()));
    grid_.group = layout_.sub, grid_.max_code = static_cast<int>(layout_.levels.size()) - 1;
    grid_.step = Matrix<float>::uninitialized(w.rows(), w.cols() / layout_.sub);
    grid_.zero = Matrix<float>::uninitialized(w.rows(), w.cols() / layout_.sub);
  }

  QuantizedLayer solve() {
    choose_scales();
    auto out = decide_by_weight(
        w_, hessian_, true, [this](std::int64_t r, std::int64_t j, double c) { return quantize(r, j, c); },
        [this] { return pack(); });
    out.record.bits = layout_.code_bits;
    out.record.clipped_share = clipped_share_;
    if (layout_.uniform) {
      const double norm = total(lattice::row_errors<float>(w_.view(), hessian_.gram));
      out.record.bound = ratio(lattice::error_bound(hessian_.triangle.factor, grid_), norm);
      out.record.expectation = out.record.bound / 3;
    }
    return out;
  }

 private:
  std::int64_t blocks() const { return w_.cols() / layout_.block; }
  BlockParts& parts(std::int64_t r, std::int64_t block) {
    return parts_[static_cast<std::size_t>(r * blocks() + block)];
  }

  void choose_scales() {
    std::vector<float> cost;
    for (const auto c : cost_of_columns(hessian_, options_.scales == ScaleSearch::pivots))
      cost.push_back(static_cast<float>(std::max(c, kLeastCost)));
    parallel_for(w_.rows(), [&](std::int64_t r) {
      for (std::int64_t b = 0; b < blocks(); ++b) {
        parts(r, b) = choose_block(layout_, w_.row(r) + b * layout_.block, cost.data() + b * layout_.block);
        open(r, b);
      }
    });
  }

  // The steps and minimums of a block's sub-blocks as decoding has them.
  void open(std::int64_t r, std::int64_t b) {
    const auto& block = parts(r, b);
    const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
    if (!std::isfinite(d) || !std::isfinite(dmin))
      fail_input(where_, "block {} of row {} needs scales beyond the largest f16 number", b, r);
    for (int s = 0; s < layout_.subs(); ++s) {
      const auto k = static_cast<std::size_t>(s);
      grid_.step(r, b * layout_.subs() + s) = d * static_cast<float>(block.scales[k]);
      grid_.zero(r, b * layout_.subs() + s) = dmin * static_cast<float>(block.minimums[k]);
    }
  }

  float quantize(std::int64_t r, std::int64_t j, double c) {
    const float step = grid_.step(r, j / layout_.sub), least = grid_.zero(r, j / layout_.sub);
    const auto x = step != 0 ? static_cast<float>((c + static_cast<double>(least)) / static_cast<double>(step)) : 0.0f;
    const auto& levels = layout_.levels;
    const auto code = static_cast<std::size_t>(nearest_code(layout_, x));
    clipped_[static_cast<std::size_t>(r)] += 2 * x < static_cast<float>(3 * levels[0] - levels[1]) ||
                                             2 * x > static_cast<float>(3 * levels.back() - levels[levels.size() - 2]);
    parts(r, j / layout_.block).codes[static_cast<std::size_t>(j % layout_.block)] = static_cast<std::uint8_t>(code);
    return step * static_cast<float>(levels[code]) - least;
  }

  QuantizedTensor pack() {
    const auto bytes = dtype_info(out_.type).block_bytes;
    out_.blocks.resize(parts_.size() * static_cast<std::size_t>(bytes));
    for (std::size_t i = 0; i < parts_.size(); ++i)
      pack_block(out_.type, parts_[i], out_.blocks.data() + static_cast<std::int64_t>(i) * bytes);
    clipped_share_ = static_cast<double>(std::accumulate(clipped_.begin(), clipped_.end(), std::int64_t{0})) /
                     static_cast<double>(w_.size());
    std::fill(clipped_.begin(), clipped_.end(), 0);
    return out_;
  }

  const Matrix<float>& w_;
  const Hessian::State& hessian_;
  const GridOptions& options_;
  const std::string& where_;
  const BlockLayout& layout_;
  std::vector<BlockParts> parts_;      // [rows][blocks of a row]
  std::vector<std::int64_t> clipped_;  // codes of each row
  lattice::Grid grid_;                 // steps of sub-blocks; for zero points what is taken away, in units of weights
  BlockTensor out_;
  double clipped_share_ = 0;
};

}  // namespace

DType block_type(BlockGrid grid) {
  switch (grid) {
    case BlockGrid::q4_0:
      return DType::q4_0;
    case BlockGrid::q2_k:
      return DType::q2_k;
    case BlockGrid::q3_k:
      return DType::q3_k;
    case BlockGrid::q4_k:
      return DType::q4_k;
    case BlockGrid::q5_k:
      return DType::q5_k;
    case BlockGrid::q6_k:
      return DType::q6_k;
    case BlockGrid::iq4_nl:
      return DType::iq4_nl;
    case BlockGrid::iq4_xs:
      return DType::iq4_xs;
    case BlockGrid::none:
      break;
  }
  throw Error(ErrorCode::unsupported, "no such grid", "grid");
}

void check_blocks(const GridOptions& options, const std::string& where) {
  if (options.method != Method::nearest_plane || options.solver != Solver::nearest_plane)
    fail_input(where, "grids of ggml's blocks are for plain nearest plane");
  if (options.scales == ScaleSearch::minmax) fail_input(where, "scales of ggml's blocks are searched, not min-max");
}

QuantizedLayer quantize_blocks(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                               const std::string& where) {
  check_blocks(options, where);
  check_weights(w, hessian.gram().cols(), where);
  return BlockSolver(w, hessian.state(), options, where).solve();
}

}  // namespace nearplane
