#include "lattice/list_search.h"

#include <algorithm>

#include "lattice/list_reference.h"

namespace nearplane::lattice {

template <class T>
ListOutcome list_search(MatrixView<const float> t, const Triangle<T>& l, const ListOptions& options,
                        const LevelCosts& costs, MatrixView<std::int16_t> levels) {
  Triangle<double> exact{l.factor, Matrix<double>(l.rows.rows(), l.rows.cols())};
  std::copy(l.rows.span().begin(), l.rows.span().end(), exact.rows.span().begin());
  return list_search_reference(t, exact, options, costs, levels);
}

template ListOutcome list_search(MatrixView<const float>, const Triangle<float>&, const ListOptions&, const LevelCosts&,
                                 MatrixView<std::int16_t>);
template ListOutcome list_search(MatrixView<const float>, const Triangle<double>&, const ListOptions&,
                                 const LevelCosts&, MatrixView<std::int16_t>);

}  // namespace nearplane::lattice
