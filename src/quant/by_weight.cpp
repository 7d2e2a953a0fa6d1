#include "quant/by_weight.h"

#include <algorithm>

#include "lattice/error.h"
#include "quant/hessian_state.h"
#include "quant/measure.h"

namespace nearplane {
namespace {

constexpr double kCertificateLimit = 1e-3;

struct Decided {
  QuantizedTensor tensor;
  double certificate = 0, error = 0;
};

template <class T>
Decided decide(const Matrix<float>& w, const Matrix<double>& gram, const lattice::Triangle<T>& l,
               const lattice::Quantize& quantize, const std::function<QuantizedTensor()>& pack) {
  auto q = Matrix<float>::uninitialized(w.rows(), w.cols());
  const auto identity = lattice::nearest_plane_by(w.view(), l, quantize, q.view());
  Decided out{.tensor = pack()};
  const auto d = differences(w, out.tensor);
  const auto direct = lattice::row_errors<double>(d.view(), gram);
  out.error = total(direct);
  if (l.factor.rank() > 0) out.certificate = certificate(l.factor, identity, direct, d);
  return out;
}

}  // namespace

std::vector<double> cost_of_columns(const Hessian::State& hessian, bool feedback) {
  const auto& factor = hessian.triangle.factor;
  std::vector<double> out(static_cast<std::size_t>(factor.dimension));
  for (std::int64_t k = 0; k < factor.rank(); ++k) {
    const auto j = factor.order[k];
    out[j] = feedback ? factor.pivots[k] * factor.pivots[k] : hessian.gram(j, j);
  }
  const double largest = *std::max_element(out.begin(), out.end());
  for (auto& cost : out) cost = largest > 0 ? cost / largest : 1.0;
  return out;
}

QuantizedLayer decide_by_weight(const Matrix<float>& w, const Hessian::State& hessian, bool feedback,
                                const lattice::Quantize& quantize, const std::function<QuantizedTensor()>& pack) {
  const auto& factor = hessian.triangle.factor;
  lattice::Triangle<float> none;
  none.factor.dimension = w.cols();
  auto decided = decide(w, hessian.gram, feedback ? hessian.triangle : none, quantize, pack);
  if (decided.certificate >= kCertificateLimit)
    decided =
        decide(w, hessian.gram, lattice::factorize<double>(hessian.gram, factor.order, factor.damping), quantize, pack);
  QuantizedLayer out{std::move(decided.tensor), {}};
  out.record.rows = w.rows(), out.record.cols = w.cols();
  out.record.bits_per_weight = out.tensor.bits_per_weight();
  out.record.certificate = decided.certificate;
  record_error(hessian, w, decided.error, out.record);
  return out;
}

}  // namespace nearplane
