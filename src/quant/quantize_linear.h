// One linear layer: W and the Gram matrix of its inputs -> QuantizedTensor and what can be said about its error.
// Problem: min_Q tr((W-Q) H (W-Q)^T) over the grid s(z - zero); see lattice/ for the mathematics.
#pragma once

#include <memory>

#include "lattice/factor.h"
#include "nearplane/quantize.h"
#include "qtensor/quantized_tensor.h"
#include "tensor/matrix.h"

namespace nearplane {

/// A Gram matrix made ready once for every layer that shares its inputs (q/k/v, gate/up): order, damping ladder,
/// factor.
class Hessian {
 public:
  /// gram [n,n] f64: X^T X, lower triangle valid. Never throws for numerical reasons on finite input: the ladder raises
  /// damping until the factorisation passes (dead columns are taken out first); Error{numerical} at `where` naming the
  /// column if an entry is not finite.
  Hessian(const Matrix<double>& gram, Order order, double damping, const std::string& where);
  ~Hessian();
  struct State;
  const State& state() const { return *state_; }
  /// [n,n], lower triangle valid, without damping.
  const Matrix<double>& gram() const;
  /// Order, pivots and damping.
  const lattice::Factor& factor() const;

 private:
  std::unique_ptr<State> state_;
};

/// True for methods that write integer codes of the weights themselves: quantize_linear's.
bool is_linear(Method method);

/// Error{bad_input} at `where` for a solver, beam or number of rounds that quantize_linear cannot use.
void check_search(const GridOptions& options, const std::string& where);

struct QuantizedLayer {
  QuantizedTensor tensor;
  LayerRecord record;  // name and seconds are left to the caller
};

/// Quantizes W [m,n] with options.grid. `hessian` may be null for Method::rounding with ScaleSearch::minmax only.
/// Scales are rounded to f16 before codes are chosen, zero points lie in [1, 2^bits), so every store can be exported
/// exactly. Uses all threads (rows are independent); same result for any number of them.
/// Error{bad_input} at `where` for non-finite W, a group that does not divide n, or options outside their range.
QuantizedLayer quantize_linear(const Matrix<float>& w, const Hessian* hessian, const GridOptions& options,
                               const std::string& where);

}  // namespace nearplane
