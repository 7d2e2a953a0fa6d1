// One slope for all coded layers of a model: the steps with which together they take the bits asked for.
// Problem: min sum over layers of the felt error sum_i f_i E_i at a given total of bits. There it falls equally fast
//   with every bit of every weight, at high rate where all steps are c / (L_jj sqrt(f_i)) with one c for the model.
// Layers are decided one after another, and what each takes is known only then. Method: the bits of a layer at any c
//   are forecast as those of Gaussian weights of its rows' and columns' sizes, rates measured by quantizing a Gaussian
//   source; corrected by what the last layers of its kind took; c is chosen anew before each layer so that the forecast
//   of all that is left meets what is left of the budget.
// Cost: n + m octaves and their convolution per layer, once; then 40 sums over some hundred bins.
#pragma once

#include <cstdint>
#include <vector>

#include "quant/coded_steps.h"

namespace nearplane {

/// How wide the weights of a layer are in units of their steps at c = 1.
struct LayerWidths {
  int kind = 0;  // layers of one kind err alike in the forecast; from 0
  std::int64_t weights = 0;
  double other_bits = 0;      // of the layer besides its levels
  int lowest = 0;             // octaves x kWidthsPerOctave of the first bin
  std::vector<double> count;  // weights in each bin
};

inline constexpr int kWidthsPerOctave = 4;

/// Of W [m,n] with these steps.
LayerWidths widths_of(const Matrix<float>& w, const CodedSteps& steps, int kind);

class RatePlan {
 public:
  /// Layers in the order in which they are quantized; `bits` per weight over all of them, 0 < bits; `states` of the
  /// trellis, 1 = scalar.
  RatePlan(std::vector<LayerWidths> layers, double bits, int states);

  /// c for the next layer. Precondition: there is one.
  double step() const;
  /// What it should take so that the rest of the budget is met if it is the last one, per weight; else 0.
  double bits_left() const;
  /// What it took, per weight.
  void done(double bits);

 private:
  double forecast(std::size_t layer, double log2_step) const;
  double correction(int kind) const;

  struct Kind {
    double bits = 0;  // per weight, more than forecast
    bool met = false;
  };
  std::vector<LayerWidths> layers_;
  std::vector<double> rate_;  // bits of a Gaussian weight by width
  std::vector<Kind> kinds_;
  std::size_t next_ = 0;
  double left_ = 0;  // bits
};

}  // namespace nearplane
