// QuIP, a published baseline: nearest plane on weights and inputs that random rotations have made alike.
// Problem: W~ = U W V^T, H~ = V H V^T (rotation.h), codes by nearest plane on H~ with one step for the whole layer,
// which
//   is right because no row and no column of W~ stands out. tr((W-Q) H (W-Q)^T) is the same before and after.
// Source: Chee et al., arXiv 2307.13304 (its LDLQ is nearest plane), with the fast rotation of arXiv 2402.04396; what
//   differs is listed in docs/methods/baselines.md.
// Cost: that of nearest plane, rotations of W and H, and a factorisation of H~ for every layer.
#pragma once

#include "quant/quantize_linear.h"

namespace nearplane {

/// Quantizes W [m,n] to whole options.bits. `seed` of the rotations; options.group and symmetric are not used. Uses all
/// threads; same result for any number of them. Error{bad_input} at `where` for non-finite W or one so small or large
/// that no step fits RotatedTensor; Error{unsupported} for a size without rotation.
QuantizedLayer quantize_quip(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                             std::uint64_t seed, const std::string& where);

}  // namespace nearplane
