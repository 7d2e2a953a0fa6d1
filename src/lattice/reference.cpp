#include "lattice/reference.h"

#include <algorithm>
#include <cmath>

namespace nearplane::lattice::reference {
namespace {

using Index = std::size_t;

[[noreturn]] void fail(const char* what, Index k) {
  throw Error(ErrorCode::numerical, fmt::format("{} at coordinate {}", what, k), "reference");
}

bool positive(double x) { return x > 0 && std::isfinite(x); }
bool positive(const Fraction& x) { return x.positive(); }

std::int64_t nearest(double t) {
  if (!(std::abs(t) < 0x1p62)) throw Error(ErrorCode::numerical, fmt::format("code {} is no integer", t), "reference");
  return static_cast<std::int64_t>(std::nearbyint(t));
}
std::int64_t nearest(const Fraction& t) { return t.nearest(); }

template <class T>
Solution<T> blank(const Problem<T>& p) {
  Solution<T> out;
  out.codes.resize(p.w.size()), out.targets.resize(p.w.size());
  return out;
}

// Rounds the target c of the next coordinate of a row and returns c - q.
template <class T>
T decide(const Problem<T>& p, Index row, const T& c, Solution<T>& out) {
  const auto k = out.codes[row].size();
  const T t = c / p.step[row][k] + p.zero[row][k];
  auto code = nearest(t);
  const double beyond = std::max(-static_cast<double>(t), static_cast<double>(t) - static_cast<double>(p.max_code));
  const double distance = std::abs(std::abs(static_cast<double>(t - T(code))) - 0.5);
  if (p.max_code >= 0) {
    code = std::clamp<std::int64_t>(code, 0, p.max_code);
    if (beyond > 0.5) ++out.clipped;
  }
  if (p.max_code < 0 || beyond < 0.5) out.margin = std::min(out.margin, distance);
  out.codes[row].push_back(code);
  out.targets[row].push_back(c);
  return c - p.point(row, k, code);
}

// The rows and columns from k on.
template <class T>
Dense<T> from(const Dense<T>& h, Index k) {
  Dense<T> out;
  for (Index i = k; i < h.size(); ++i) out.emplace_back(h[i].begin() + static_cast<std::ptrdiff_t>(k), h[i].end());
  return out;
}

// Gauss-Jordan without exchanges, fit for positive definite matrices.
template <class T>
Dense<T> inverse(Dense<T> a) {
  const auto n = a.size();
  Dense<T> b(n, std::vector<T>(n, T(0)));
  for (Index k = 0; k < n; ++k) b[k][k] = T(1);
  for (Index k = 0; k < n; ++k) {
    const T pivot = a[k][k];
    if (!positive(pivot)) fail("not positive definite", k);
    for (Index j = 0; j < n; ++j) a[k][j] /= pivot, b[k][j] /= pivot;
    for (Index i = 0; i < n; ++i) {
      if (i == k) continue;
      const T factor = a[i][k];
      for (Index j = k; j < n; ++j) a[i][j] -= factor * a[k][j];
      for (Index j = 0; j <= k; ++j) b[i][j] -= factor * b[k][j];
    }
  }
  return b;
}

// Triangular factors with 1 on the diagonal, and the squares of the diagonal of those with roots.
template <class T>
struct Rooted {
  Dense<T> unit;
  std::vector<T> squares;
};

// a = R^T R, R upper triangular with rows sqrt(squares[k]) unit[k].
template <class T>
Rooted<T> upper_factor(const Dense<T>& a) {
  const auto n = a.size();
  Rooted<T> out{Dense<T>(n, std::vector<T>(n, T(0))), {}};
  for (Index k = 0; k < n; ++k) {
    for (Index j = k; j < n; ++j) {
      T sum = a[k][j];
      for (Index i = 0; i < k; ++i) sum -= out.squares[i] * out.unit[i][k] * out.unit[i][j];
      out.unit[k][j] = sum;
    }
    out.squares.push_back(out.unit[k][k]);
    if (!positive(out.squares[k])) fail("not positive definite", k);
    for (Index j = k; j < n; ++j) out.unit[k][j] /= out.squares[k];
  }
  return out;
}

template <class T>
Dense<T> reversed(Dense<T> a, bool rows) {
  if (rows) std::reverse(a.begin(), a.end());
  for (auto& row : a) std::reverse(row.begin(), row.end());
  return a;
}

// Row r of the inverse transpose of a unit upper triangle is row r of a unit lower triangle V: V R^T = 1.
template <class T>
Dense<T> inverse_transpose(const Dense<T>& unit) {
  const auto n = unit.size();
  Dense<T> v(n, std::vector<T>(n, T(0)));
  for (Index r = 0; r < n; ++r)
    for (Index j = r + 1; j-- > 0;) {
      v[r][j] = T(r == j ? 1 : 0);
      for (Index i = j + 1; i <= r; ++i) v[r][j] -= unit[j][i] * v[r][i];
    }
  return v;
}

// The loop of OBQ; inverse_left(k) is what it takes for the inverse of the part of h from coordinate k on.
template <class T, class Inverse>
Solution<T> brain_surgery(const Problem<T>& p, Index n, const Inverse& inverse_left) {
  auto out = blank(p);
  auto w = p.w;
  for (Index k = 0; k < n; ++k) {
    const Dense<T> left = inverse_left(k);
    out.pivots.push_back(T(1) / left[0][0]);
    for (Index row = 0; row < w.size(); ++row) {
      const T scaled = decide(p, row, w[row][k], out) / left[0][0];
      for (Index j = k; j < n; ++j) w[row][j] -= scaled * left[0][j - k];
    }
  }
  return out;
}

template <class T>
T dot(const std::vector<T>& x, const std::vector<T>& y) {
  T sum(0);
  for (Index i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

template <class T>
void subtract(std::vector<T>& x, const T& factor, const std::vector<T>& y) {
  for (Index i = 0; i < x.size(); ++i) x[i] -= factor * y[i];
}

template <class T>
std::vector<T> column(const Dense<T>& x, Index k) {
  std::vector<T> out;
  for (const auto& row : x) out.push_back(row[k]);
  return out;
}

// g_k = column k without its part in the span of the columns after it; twice, because once leaves rounding.
template <class T>
Dense<T> gram_schmidt_from_the_last(const Dense<T>& columns) {
  const auto n = columns.size();
  Dense<T> g = columns;
  for (Index k = n; k-- > 0;) {
    for (int pass = 0; pass < 2; ++pass)
      for (Index i = n; i-- > k + 1;) subtract(g[k], dot(g[k], g[i]) / dot(g[i], g[i]), g[i]);
    if (!positive(dot(g[k], g[k]))) fail("dependent columns", k);
  }
  return g;
}

}  // namespace

template <class T>
Solution<T> obq(const Problem<T>& p, const Dense<T>& h) {
  return brain_surgery(p, h.size(), [&](Index k) { return inverse(from(h, k)); });
}

template <class T>
Solution<T> obq_with_slices_of_one_inverse(const Problem<T>& p, const Dense<T>& h) {
  const auto whole = inverse(h);
  return brain_surgery(p, h.size(), [&](Index k) { return from(whole, k); });
}

template <class T>
Solution<T> gptq(const Problem<T>& p, const Dense<T>& h) {
  const auto u = upper_factor(inverse(h));
  auto out = blank(p);
  auto w = p.w;
  for (Index k = 0; k < h.size(); ++k) {
    out.pivots.push_back(T(1) / u.squares[k]);
    for (Index row = 0; row < w.size(); ++row) {
      const T error = decide(p, row, w[row][k], out) / u.unit[k][k];
      for (Index j = k; j < h.size(); ++j) w[row][j] -= error * u.unit[k][j];
    }
  }
  return out;
}

template <class T>
Solution<T> gptq_back_to_front(const Problem<T>& p, const Dense<T>& h) {
  const auto r = upper_factor(reversed(h, true));
  const auto v = inverse_transpose(r.unit);
  auto out = blank(p);
  auto w = reversed(p.w, false);
  for (Index k = h.size(); k-- > 0;) {
    out.pivots.push_back(r.squares[k]);
    for (Index row = 0; row < w.size(); ++row) {
      const T error = decide(p, row, w[row][k], out) / v[k][k];
      for (Index j = 0; j <= k; ++j) w[row][j] -= error * v[k][j];
    }
  }
  return out;
}

template <class T>
Solution<T> nearest_plane(const Problem<T>& p, const Dense<T>& h) {
  const auto n = h.size();
  const auto reverse_l = upper_factor(reversed(h, true));  // L with rows and columns reversed
  auto out = blank(p);
  Dense<T> difference(p.w.size());  // w_j - q_j
  for (Index k = 0; k < n; ++k) {
    const auto& l = reverse_l.unit[n - 1 - k];
    out.pivots.push_back(reverse_l.squares[n - 1 - k]);
    for (Index row = 0; row < p.w.size(); ++row) {
      T c = p.w[row][k];
      for (Index j = 0; j < k; ++j) c += l[n - 1 - j] * difference[row][j];
      decide(p, row, c, out);
      difference[row].push_back(p.w[row][k] - p.point(row, k, out.codes[row][k]));
    }
  }
  return out;
}

template <class T>
Solution<T> nearest_plane_in_data_space(const Problem<T>& p, const Dense<T>& x) {
  Dense<T> basis;
  for (Index k = 0; !x.empty() && k < x[0].size(); ++k) basis.push_back(column(x, k));
  const auto g = gram_schmidt_from_the_last(basis);
  auto out = blank(p);
  Dense<T> target;
  for (const auto& w : p.w) {
    auto& t = target.emplace_back(x.size(), T(0));
    for (Index k = 0; k < basis.size(); ++k) subtract(t, T(0) - w[k], basis[k]);
  }
  for (Index k = 0; k < basis.size(); ++k) {
    out.pivots.push_back(dot(g[k], g[k]));
    for (Index row = 0; row < p.w.size(); ++row) {
      decide(p, row, dot(target[row], g[k]) / out.pivots[k], out);
      subtract(target[row], p.point(row, k, out.codes[row][k]), basis[k]);
    }
  }
  return out;
}

std::vector<double> error_vector(const Problem<double>& p, const Solution<double>& solution, Index row) {
  std::vector<double> out;
  for (Index k = 0; k < solution.pivots.size(); ++k)
    out.push_back(std::sqrt(solution.pivots[k]) * (solution.targets[row][k] - p.point(row, k, solution.codes[row][k])));
  return out;
}

ObsStep obs_step(const Dense<double>& h, Index k, double change) {
  const auto inverted = inverse(h);
  ObsStep out;
  for (Index j = 0; j < h.size(); ++j) out.delta.push_back(change * inverted[j][k] / inverted[k][k]);
  out.cost = change * change / inverted[k][k];
  return out;
}

#define NEARPLANE_REFERENCES(T)                                                            \
  template Solution<T> obq(const Problem<T>&, const Dense<T>&);                            \
  template Solution<T> obq_with_slices_of_one_inverse(const Problem<T>&, const Dense<T>&); \
  template Solution<T> gptq(const Problem<T>&, const Dense<T>&);                           \
  template Solution<T> gptq_back_to_front(const Problem<T>&, const Dense<T>&);             \
  template Solution<T> nearest_plane(const Problem<T>&, const Dense<T>&);                  \
  template Solution<T> nearest_plane_in_data_space(const Problem<T>&, const Dense<T>&);
NEARPLANE_REFERENCES(double)
NEARPLANE_REFERENCES(Fraction)
#undef NEARPLANE_REFERENCES

}  // namespace nearplane::lattice::reference
