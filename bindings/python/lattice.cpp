// nearplane._lattice: include/nearplane/lattice.h for Python. Arrays are checked and named in nearplane/lattice.py;
// here they are only copied in and handed out, with the interpreter lock released while solving.
#include "nearplane/lattice.h"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "nearplane/error.h"

namespace nb = nanobind;
using namespace nearplane;

namespace {

using Array = nb::ndarray<const double, nb::c_contig, nb::device::cpu>;

std::vector<double> copy_in(const Array& array) { return {array.data(), array.data() + array.size()}; }

template <class T>
nb::object hand_out(std::vector<T> values, std::initializer_list<std::size_t> shape) {
  auto* owned = new std::vector<T>(std::move(values));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return nb::cast(nb::ndarray<nb::numpy, T>(owned->data(), shape.size(), shape.begin(), owner));
}

nb::dict solve(std::int64_t rows, std::int64_t columns, const Array& target, const Array& gram, const Array& data,
               const Array& step, const Array& zero, bool bounded, std::int64_t low, std::int64_t high,
               const nb::dict& settings) {
  const LatticeProblem problem{.rows = rows,
                               .columns = columns,
                               .target = copy_in(target),
                               .gram = copy_in(gram),
                               .data = copy_in(data),
                               .step = copy_in(step),
                               .zero = copy_in(zero),
                               .bounded = bounded,
                               .low = low,
                               .high = high};
  LatticeOptions options;
  options.solver = static_cast<LatticeSolver>(nb::cast<int>(settings["solver"]));
  options.order = static_cast<LatticeOrder>(nb::cast<int>(settings["order"]));
  options.given_order = nb::cast<std::vector<std::int64_t>>(settings["given_order"]);
  options.damping = nb::cast<double>(settings["damping"]);
  options.beam = nb::cast<std::int64_t>(settings["beam"]);
  options.tries = nb::cast<std::int64_t>(settings["tries"]);
  options.temperature = nb::cast<double>(settings["temperature"]);
  options.seed = nb::cast<std::uint64_t>(settings["seed"]);
  options.budget = nb::cast<std::int64_t>(settings["budget"]);
  options.block = nb::cast<int>(settings["block"]);
  options.descent = nb::cast<int>(settings["descent"]);
  LatticeSolution s;
  {
    nb::gil_scoped_release unlocked;
    s = solve_closest_vectors(problem, options);
  }
  const auto m = static_cast<std::size_t>(rows), n = static_cast<std::size_t>(columns), r = s.order.size();
  nb::dict out;
  out["codes"] = hand_out(std::move(s.codes), {m, n});
  out["errors"] = hand_out(std::move(s.errors), {m, r});
  out["error"] = hand_out(std::move(s.error), {m});
  out["bound"] = hand_out(std::move(s.bound), {m});
  out["optimal"] = hand_out(std::move(s.optimal), {m});
  out["nodes"] = hand_out(std::move(s.nodes), {m});
  out["order"] = hand_out(std::move(s.order), {r});
  out["pivots"] = hand_out(std::move(s.pivots), {r});
  out["damping"] = s.damping;
  out["shift"] = s.shift;
  out["repairs"] = s.repairs;
  return out;
}

nb::object eigenvalues(const Array& gram, std::int64_t n) {
  auto values = gram_eigenvalues(copy_in(gram), n);
  return hand_out(std::move(values), {static_cast<std::size_t>(n)});
}

double limit(const Array& values, const Array& variances, double bits) {
  return lattice_error_limit(copy_in(values), copy_in(variances), bits);
}

}  // namespace

NB_MODULE(_lattice, module) {
  nb::exception<Error>(module, "Error", PyExc_ValueError);
  module.def("solve", &solve);
  module.def("eigenvalues", &eigenvalues);
  module.def("limit", &limit);
}
