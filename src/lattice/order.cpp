#include "lattice/order.h"

#include <algorithm>

namespace nearplane::lattice {

std::vector<std::int64_t> natural_order(const Matrix<double>& h) {
  std::vector<std::int64_t> order;
  for (std::int64_t j = 0; j < h.cols(); ++j)
    if (h(j, j) > 0) order.push_back(j);
  return order;
}

std::vector<std::int64_t> decreasing_diagonal_order(const Matrix<double>& h) {
  auto order = natural_order(h);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return h(a, a) > h(b, b); });
  return order;
}

}  // namespace nearplane::lattice
