// The machine's own rate for the products calibration is made of, on one thread: the arithmetic floor of bench/time.
// Prints JSON: f32 and bf16 GFLOP/s on the shapes of a linear layer (T x n times n x n), sustained over three seconds.
#include <fmt/format.h>

#include <vector>

#include "base/process.h"
#include "base/threads.h"
#include "kernel/gemm.h"
#include "tensor/half.h"

namespace {

using namespace nearplane;

template <class F>
double rate(double operations, const F& body) {
  body();
  const Stopwatch watch;
  int times = 0;
  for (; watch.seconds() < 3; ++times) body();
  return operations * times / watch.seconds() * 1e-9;
}

}  // namespace

int main() {
  set_thread_count(1);
  constexpr std::int64_t m = 2048, n = 1536, k = 576;
  std::vector<float> a(m * k, 0.5f), b(n * k, 0.25f), c(m * n);
  std::vector<std::uint16_t> a16(m * k, f32_to_bf16(0.5f)), b16(n * k, f32_to_bf16(0.25f));
  double f32 = 0, bf16 = 0;
  parallel_for(1, [&](std::int64_t) {
    f32 = rate(2.0 * m * n * k, [&] { gemm_nt(m, n, k, 1, a.data(), k, b.data(), k, 0, c.data(), n); });
    if (has_bf16_gemm())
      bf16 = rate(2.0 * m * n * k, [&] { gemm_nt_bf16(m, n, k, a16.data(), k, b16.data(), k, c.data(), n); });
  });
  fmt::print("{{\"f32_gflops\": {:.2f}, \"bf16_gflops\": {:.2f}}}\n", f32, bf16);
}
