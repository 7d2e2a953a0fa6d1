// Quantize a model: model on disk -> native store on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nearplane/observer.h"

namespace nearplane {

enum class Method {
  rounding,       // every weight to the nearest level; no calibration
  nearest_plane,  // Babai's nearest plane on the lattice of the layer's Gram matrix H = GPTQ
  // Without a range, entropy-coded, by nearest plane with priced levels. Bits are a real number, counted from the file.
  hptq,      // one step for the whole layer
  watersic,  // steps of columns in inverse proportion to their pivots
  trellis,   // the same, each weight on one of two grids that a trellis picks (dependent quantization)
  // Published baselines, nearest plane on whole bits: docs/methods/baselines.md.
  quip,              // randomly rotated weights, one step for the whole layer
  icquant,           // the largest weights of a row have a quantizer of their own
  icquant_rounding,  // the same, every weight to the nearest level
  spqr,              // small groups with quantized scales, the dearest weights kept in f16
  // Without a range, not coded: codes that overflow the dense ones in a list, steps so small that it fills the bits.
  ssqr,  // Scale-adjusted Sparse Quantization, by plain nearest plane
};

enum class Order {
  natural,  // columns decided first to last
  act,      // columns decided by decreasing H_jj; the storage order and the groups stay as they are
};

/// How Method::nearest_plane decides: by nearest plane itself or by its list form.
enum class Solver {
  nearest_plane,  // one solution per row, column by column
  kbest,          // the `beam` best partial solutions per row
};

/// How the scale (and zero point) of a group is chosen, before the first column is decided.
enum class ScaleSearch {
  minmax,    // the range of the group's weights
  diagonal,  // least rounding error weighted by H_jj
  pivots,    // least rounding error weighted by L_jj^2, the weight column j has after error feedback
};

/// The grids of ggml's block types: steps and minimums of sub-blocks are whole numbers times those of a block.
enum class BlockGrid { none, q4_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs };

/// How the forward pass multiplies with the weights of linear layers.
enum class Arithmetic {
  f32,   // decoded to f32
  bf16,  // decoded, weights and inputs rounded to bf16, sums f32
  // Only to generate and evaluate, and only where a store has packed codes; elsewhere f32:
  packed,    // with the codes themselves, inputs as integers of 16 bits with a scale for at most 64 of them
  expanded,  // the same, entropy-coded levels as 4 to 8 bits each: faster, more memory
};

/// How one linear layer becomes integers.
struct GridOptions {
  double bits = 3;          // 2 to 8, whole; of entropy-coded methods bits per weight, at most 8, of ssqr at most 32
  std::int64_t group = 64;  // columns that share a scale along a row; 0 = the whole row
  bool symmetric = false;   // zero point fixed at 2^(bits-1)
  BlockGrid blocks = BlockGrid::none;  // instead of bits, group and symmetric; by plain nearest plane, not alternating
  Method method = Method::nearest_plane;
  Solver solver = Solver::nearest_plane;
  int beam = 8;              // of Solver::kbest: 1, 2, 4 or 8
  int alternate = 4;         // rounds of steps given codes, codes given steps after Method::nearest_plane; 0 to 100
  int states = 8;            // of Method::trellis: 4, 8 or 16
  int survivors = 1;         // of Method::trellis, kept for each state: 1, 2, 4 or 8
  Order order = Order::act;  // of integer codes
  ScaleSearch scales = ScaleSearch::pivots;
  double damping = 0.01;  // lambda of H + lambda mean(diag H) I; raised by the ladder when the factorisation fails
};

struct CalibrationOptions {
  std::vector<std::filesystem::path>
      files;                   // text, or JSON lines with a "text" field; empty = the model writes its own
  std::int64_t samples = 128;  // windows
  std::int64_t length = 2048;  // tokens of a window
  std::uint64_t seed = 0;
};

/// Correction of layers for what the quantized layers before them did to their inputs (docs/methods/drift.md). Costs a
/// second set of activations, carried through the original weights.
struct DriftOptions {
  bool fitted = false;  // the strength in closed form, layer by layer, instead of `strength`
  double strength = 0;  // 0 = none, 1 = the full correction of least squares
  bool wanted() const { return fitted || strength > 0; }
};

struct QuantizeOptions {
  GridOptions grid;
  CalibrationOptions calibration;
  DriftOptions drift;
  double mix = 0;  // stored bits per weight to share among the layers, each in 2, 3, 4, 5 or 8 bits as the model's
                   // output feels them, instead of grid.bits; 0 = grid.bits for all (docs/methods/mixing.md)
  bool mix_apart = false;  // layers that other engines fuse, q/k/v and gate/up, may have different bits
  bool slope = false;  // entropy-coded methods: bits go to rows and layers as the model's output feels their errors,
                       // grid.bits on average (docs/methods/slope.md); false: each layer has grid.bits, rows are equal
  int embedding_bits = 0;  // of the embedding and of a head of its own, with one step for each row: 8, or 0 = kept as
                           // they are
  Arithmetic arithmetic = Arithmetic::f32;
  int threads = 0;       // 0 = one per core
  bool restart = false;  // discard what an unfinished run left
};

/// An input of a layer that is far larger than the others.
struct MassiveColumn {
  std::int64_t column = 0;
  double times = 0;  // H_jj over its median among the columns that are not dead
};

/// What happened to one layer. Errors are relative: tr((W-Q) H (W-Q)^T) / tr(W H W^T), H without damping; with drift
/// correction W is the corrected target, which is what bound, expectation and limit speak of, too.
struct LayerRecord {
  std::string name;
  std::int64_t rows = 0, cols = 0;
  int bits = 0;  // of a code
  double bits_per_weight = 0;
  double error = -1;        // achieved, measured directly against H; negative without calibration
  double bound = -1;        // worst case of nearest plane (math: 1/4 sum L_kk^2 s_k^2), same scale; for unclipped codes
  double expectation = -1;  // about a third of the bound
  double limit = -1;  // no code with these bits gets below it for Gaussian weights of the rows' variances, same scale
  double clipped_share = 0;        // weights whose code hit the end of the range while more than half a step beyond it
  double damping = 0;              // lambda that was used in the end
  int repairs = 0;                 // times the ladder was climbed
  std::int64_t dead_columns = 0;   // inputs that are always zero
  std::vector<std::int64_t> dead;  // which
  std::vector<MassiveColumn> massive;  // those with `times` above 1000, in order
  double certificate = 0;              // |E_identity - E_direct| / E_direct of math section 6
  double drift_explained = -1;  // share of the drift in the outputs that a linear correction removes; negative: none
  double drift_strength = 0;    // of the correction that was made
  double output_error = -1;     // ||X W^T - X^ Q^T||^2 / ||X W^T||^2 against the original model; with drift correction
  double predicted_kl = -1;     // what this layer adds to the KL, nats per token: with QuantizeOptions::mix before the
                                // pass, with ::slope from its measured errors
  double seconds = 0;
};

/// The embedding or the head in codes.
struct EmbeddingRecord {
  std::string name;
  std::int64_t rows = 0, cols = 0;
  std::int64_t stored_bytes = 0;
  double error = 0;  // |W-Q|^2 / |W|^2

  double bits_per_weight() const { return 8.0 * static_cast<double>(stored_bytes) / static_cast<double>(rows * cols); }
};

struct QuantizeResult {
  std::vector<LayerRecord> layers;
  std::vector<EmbeddingRecord> embeddings;  // with QuantizeOptions::embedding_bits; not in what follows
  std::int64_t weights = 0;                 // in the linear layers
  std::int64_t stored_bytes = 0;            // everything needed to decode them
  std::int64_t calibration_tokens = 0;
  double predicted_kl = -1;      // sum over the layers, to second order
  double seconds = 0;            // of all calls it took, but for work they did twice
  std::int64_t peak_memory = 0;  // resident bytes of the process, the most of all calls

  double bits_per_weight() const { return 8.0 * static_cast<double>(stored_bytes) / static_cast<double>(weights); }
};

/// Quantizes all linear layers of the blocks of the model at `model` into a new store folder `store`; embedding and
/// head are rounded if options.embedding_bits says so, norms are kept as they are. Layers see the inputs the already
/// quantized layers before them produce from the original embedding. Deterministic: same model, text, options and seed
/// give the same bytes, whatever the number of threads and interruptions.
/// Work lies in the folder `store`.partial until all is done. A call that is cancelled, killed or stopped by the
/// machine leaves it, and the same call goes on from the last finished block; options.threads may differ. Throws Error:
/// bad_input (files, options, `store` exists, another call is writing it, an unfinished call had other options or read
/// other files), io, numerical (a Gram matrix beyond repair), cancelled.
QuantizeResult quantize(const std::filesystem::path& model, const std::filesystem::path& store,
                        const QuantizeOptions& options, Observer& observer);

}  // namespace nearplane
