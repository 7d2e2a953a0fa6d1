// Codes and steps in turn, after a solver: neither can be improved alone when it is done.
// Problem: E = (w-q)^T H (w-q) per row. Codes given the rest: every column in turn gets the level of least E
//   (coordinate descent; z moves by (g_j / H_jj) / s, rounded, g = H (w - q)). Step of a group given the rest:
//   s + (u^T g) / (u^T H u) over the group, u = z - zero, rounded to f16. Both only ever lower E. Zero points stay.
// Source: coordinate descent for integer least squares; the step is its weighted least-squares fit.
// Cost: about 2 m n^2 operations a round in products, and m n x group x 10 within the groups.
#pragma once

#include <cstdint>
#include <vector>

#include "lattice/factor.h"
#include "lattice/grid.h"
#include "tensor/matrix.h"

namespace nearplane {

/// H + shift I on the coordinates of the factor's order, zero elsewhere, both triangles, in the type of the products.
template <class T>
struct Metric {
  Matrix<T> h;             // [n,n] divided by a power of two near its largest diagonal entry
  std::vector<T> inverse;  // [n] 1 / h_jj, 0 outside the order

  /// gram [n,n] f64, lower triangle valid.
  Metric(const Matrix<double>& gram, const lattice::Factor& factor);
};

/// w [m,n] finite, codes [m,n] on `grid`: improves codes and the grid's steps in `rounds` sweeps over all groups.
/// Errors fall up to the rounding of T; the caller compares. Uses all threads; same bits for any number of them.
template <class T>
void alternate(MatrixView<const float> w, const Metric<T>& metric, int rounds, lattice::Grid& grid,
               MatrixView<std::uint8_t> codes);

extern template struct Metric<float>;
extern template struct Metric<double>;
extern template void alternate(MatrixView<const float>, const Metric<float>&, int, lattice::Grid&,
                               MatrixView<std::uint8_t>);
extern template void alternate(MatrixView<const float>, const Metric<double>&, int, lattice::Grid&,
                               MatrixView<std::uint8_t>);

}  // namespace nearplane
