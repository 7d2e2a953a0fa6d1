// Any bytes as a problem for the lattice solvers: small sizes, entries of every kind a double can be. Whatever comes is
// refused, repaired or solved; the error reported for codes is what they have.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "nearplane/error.h"
#include "nearplane/lattice.h"

namespace {

using namespace nearplane;

struct Bytes {
  const std::uint8_t* data;
  std::size_t size;

  std::uint8_t byte() { return size > 0 ? (--size, *data++) : 0; }
  // Mostly tame numbers, now and then the raw bits of a double.
  double number() {
    const auto kind = byte();
    if (kind % 16 != 0 || size < sizeof(double)) return (kind - 128) / 16.0;
    double value;
    std::memcpy(&value, data, sizeof value);
    data += sizeof value, size -= sizeof value;
    return value;
  }
  std::vector<double> numbers(std::int64_t count) {
    std::vector<double> out;
    for (std::int64_t i = 0; i < count; ++i) out.push_back(number());
    return out;
  }
};

LatticeProblem read_problem(Bytes& bytes) {
  LatticeProblem p;
  p.rows = bytes.byte() % 3, p.columns = bytes.byte() % 7;
  const auto flags = bytes.byte();
  p.target = bytes.numbers(p.rows * p.columns);
  p.step = bytes.numbers(flags & 1 ? p.columns : p.rows * p.columns);
  if (flags & 2) p.zero = bytes.numbers(p.columns);
  if (flags & 4) p.bounded = true, p.low = -(bytes.byte() % 20), p.high = bytes.byte() % 20;
  if (flags & 8) {
    p.data = bytes.numbers(p.columns * (bytes.byte() % 9));
  } else {
    p.gram = bytes.numbers(p.columns * p.columns);
    if (flags & 16)  // symmetric, so that more than the first check is met
      for (std::int64_t i = 0; i < p.columns; ++i)
        for (std::int64_t j = 0; j < i; ++j) p.gram[i * p.columns + j] = p.gram[j * p.columns + i];
  }
  return p;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes{data, size};
  LatticeOptions options;
  options.solver = static_cast<LatticeSolver>(bytes.byte() % 8);
  options.order = static_cast<LatticeOrder>(bytes.byte() % 3);
  options.beam = bytes.byte() % 9, options.tries = bytes.byte() % 5, options.descent = bytes.byte() % 3;
  options.budget = 1000;
  options.damping = bytes.number();
  const auto problem = read_problem(bytes);
  try {
    const auto solution = solve_closest_vectors(problem, options);
    for (const double error : solution.error)
      if (!(error >= 0)) std::abort();
  } catch (const Error&) {
  }
  return 0;
}

#ifdef NEARPLANE_FUZZ_MAIN
#include "file_main.h"
#endif
