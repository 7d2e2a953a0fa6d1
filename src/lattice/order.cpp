#include "lattice/order.h"

#include <algorithm>

#include "base/check.h"

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

std::vector<std::int64_t> given_order(const Matrix<double>& h, const std::vector<std::int64_t>& order,
                                      const std::string& where) {
  const auto n = h.cols();
  if (std::ssize(order) != n) fail_input(where, "an order of {} coordinates for {}", order.size(), n);
  std::vector<bool> seen(order.size());
  std::vector<std::int64_t> live;
  for (std::size_t k = 0; k < order.size(); ++k) {
    const auto j = order[k];
    if (j < 0 || j >= n) fail_input(where, "coordinate {} at place {} is outside 0 to {}", j, k, n - 1);
    if (seen[j]) fail_input(where, "coordinate {} comes a second time at place {}", j, k);
    seen[j] = true;
    if (h(j, j) > 0) live.push_back(j);
  }
  return live;
}

}  // namespace nearplane::lattice
