// The theorem, run: GPTQ and its relatives are Babai's nearest plane on the lattice of the layer's inputs. Every
// algorithm as published decides the same layers; integers and error vectors are compared step by step.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "nearplane/observer.h"
#include "nearplane/quantize.h"

namespace nearplane {

struct ProveOptions {
  std::filesystem::path model;  // "" = synthetic layers only; else a layer of this model or store, too
  std::string layer;            // "model.layers.3.self_attn.q_proj"; "" = the first one
  CalibrationOptions calibration{.files = {}, .samples = 4, .length = 256};  // the inputs of that layer
  std::int64_t rows = 16;                                                    // targets per layer
  std::int64_t columns = 160;  // of the model's layer, the first ones; OBQ takes the fourth power of it
  std::uint64_t seed = 0;
};

/// One algorithm against nearest plane in parameter space.
struct Comparison {
  std::string algorithm;
  std::int64_t different = 0;  // integers that differ
  double gap = 0;  // largest difference of an error coordinate, relative to the length of the row's error vector
};

struct ProvedLayer {
  std::string name;
  int bits = 0;
  std::int64_t rows = 0, columns = 0, clipped = 0;
  double margin = 0;  // least distance of a rounded number from a tie, in steps
  std::vector<Comparison> comparisons;
  double error = 0, direct = 0;  // sum of e_k^2, and (w-q)^T H (w-q), both relative to w^T H w
  double bound = 0, limit = 0;   // same scale; the bound counts where nothing was clipped
  bool agrees = false;
};

/// What changes when the problem does: integers that differ from the plain solution.
struct Departure {
  std::string change;
  std::int64_t different = 0, of = 0;
};

/// The random layer in one order of its columns: the product of the pivots stays, their sum and with it the bound
/// moves.
struct OrderSummary {
  std::string order;
  double log2_pivot = 0;  // mean over columns of log2 L_kk^2
  double pivot_sum = 0;   // sum L_kk^2 / tr H: what feedback leaves of the error of rounding
};

/// GPTQ as published on columns that agree to `digits` digits, against nearest plane in data space.
struct Precision {
  int digits = 0;
  double gptq = 0, parameter_space = 0;  // gaps as in Comparison; infinite where the factorisation fails
};

/// Expected relative error of absmax grids from second moments alone, and what was measured.
struct Prediction {
  int bits = 0;
  double rounding = 0, rounding_measured = 0, nearest_plane = 0, nearest_plane_measured = 0;
};

struct ProveResult {
  std::vector<ProvedLayer> layers;
  std::int64_t exact_lattices = 0, exact_ties = 0, exact_different = 0;  // in fractions: targets, pivots and codes
  double attained = 0;  // error over bound for a target in the corner of its box
  std::vector<Departure> departures;
  std::vector<OrderSummary> orders;
  std::vector<Precision> precision;
  std::vector<Prediction> predictions;
  bool passed = false;  // all that must agree agrees, all that must differ differs, bounds hold
};

/// Error{bad_input} for options out of range (rows up to 1024, columns 2 to 4096) and a layer the model does not have;
/// as open_network and calibration do.
ProveResult prove(const ProveOptions& options, Observer& observer);

}  // namespace nearplane
