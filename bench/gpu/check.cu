// Every kernel on a real device against the same kernel in the emulator, to the last bit: the emulator is held against
// slow sums by the tests. Small shapes, so that it also runs under compute-sanitizer.
// Exit status: 0 all equal, 1 something differs or fails, 2 no device.
#include <cstring>

#include "device.cuh"

namespace nearplane::cuda {
namespace {

int failures = 0, comparisons = 0;

template <class T>
void compare(const std::vector<T>& device, const std::vector<T>& host, const std::string& what) {
  ++comparisons;
  if (device.size() == host.size() && std::memcmp(device.data(), host.data(), host.size() * sizeof(T)) == 0) return;
  std::size_t at = 0;
  while (at < host.size() && std::memcmp(&device[at], &host[at], sizeof(T)) == 0) ++at;
  std::fprintf(stderr, "gpu-check: %s differs at %zu of %zu: device %.9g, emulator %.9g\n", what.c_str(), at,
               host.size(), static_cast<double>(device[at]), static_cast<double>(host[at]));
  ++failures;
}

std::string shape_name(const char* kind, int rows, int cols, int tokens) {
  return std::string(kind) + " " + std::to_string(rows) + " x " + std::to_string(cols) + ", " + std::to_string(tokens) +
         " tokens";
}

void check_inputs(const PieceShape& shape, const InputMemory& in, int tokens) {
  DeviceInputs on_device{InputMemory(shape, tokens, in.x)};
  check(launch_inputs(shape, on_device.view(tokens), nullptr), "inputs");
  check(cudaDeviceSynchronize(), "inputs");
  compare(on_device.high.host(), in.high, "high plane of inputs");
  compare(on_device.low.host(), in.low, "low plane of inputs");
  compare(on_device.sums.host(), in.sums, "sums of inputs");
  compare(on_device.scales.host(), in.scales, "scales of inputs");
}

template <int kBits>
std::vector<float> emulated(const DenseMatrix& w, const Inputs& in) {
  if (in.tokens == 1) return emulate_dense<kBits, 0>(w, in, kGemvWarps);
  if (in.tokens <= 8) return emulate_dense<kBits, 1>(w, in, kTokensWarps);
  if (in.tokens <= 16) return emulate_dense<kBits, 2>(w, in, kTokensWarps);
  return emulate_dense<kBits, 4>(w, in, kTokensWarps);
}

template <int kBits>
void check_dense(Rng& rng, const DeviceLimits& limits) {
  constexpr int kShapes[][3] = {{96, 1024, 128}, {37, 200, 64}, {64, 512, 512}};
  for (const auto& [rows, cols, group] : kShapes) {
    auto c = DenseCase::random(rng, rows, cols, kBits, group);
    c.extras = random_extras(rng, rows, cols, 0.01, 2, false);
    const auto layout = c.layout();
    auto host = layout.view(), device = host;
    host.extras = c.extras.view();
    const DeviceExtras extras(c.extras);
    const DeviceArray<Line> codes(layout.codes);
    const DeviceArray<std::uint16_t> scales(layout.scales);
    const DeviceArray<std::uint8_t> zeros(layout.zeros);
    device.codes = codes.data(), device.scales = scales.data(), device.zeros = zeros.data();
    device.extras = extras.view(c.extras);
    for (const int tokens : {1, 2, 8, 13, 32}) {
      auto in = emulate_inputs(host.piece_shape(), tokens, random_inputs(rng, tokens, cols));
      check_inputs(host.piece_shape(), in, tokens);
      const DeviceInputs inputs(in);
      const DeviceArray<float> y(static_cast<std::size_t>(tokens * rows));
      check(launch_dense(device, inputs.view(tokens), y.data(), nullptr), "dense");
      check(cudaDeviceSynchronize(), "dense");
      compare(y.host(), emulated<kBits>(host, in.view()),
              std::to_string(kBits) + " bits, " + shape_name("dense", rows, cols, tokens));
    }
    const auto stride = decoded_stride(host);
    DeviceArray<std::uint16_t> decoded(std::vector<std::uint16_t>(static_cast<std::size_t>(rows * stride)));
    std::vector<std::uint16_t> expected(static_cast<std::size_t>(rows * stride));
    check(launch_decode(device, limits, decoded.data(), nullptr), "decode");
    check(cudaDeviceSynchronize(), "decode");
    emulate(host.row_blocks() * host.tiles, 1, 0, false,
            [&](EmulatedBlock& block) { decode_dense<kBits>(block, host, expected.data()); });
    compare(decoded.host(), expected, shape_name("decoded", rows, cols, 0));
  }
}

template <int kK, bool kStates>
void check_tuple(Rng& rng, int states, const DeviceLimits& limits) {
  constexpr int kShapes[][3] = {{75, 700, 144}, {64, 2016, 252}, {9, 50, 36}};
  for (const auto& [rows, cols, columns] : kShapes) {
    auto c =
        TupleCase::random(rng, rows, cols, columns, RandomBook::random(rng, kK, states, states == 8 ? 9 : 10, 6), true);
    c.extras = random_extras(rng, rows, cols, 0.01, 2, true);
    const TupleLayout layout(c.source());
    auto host = layout.view(), device = host;
    host.extras = c.extras.view();
    const DeviceExtras extras(c.extras);
    const DeviceArray<std::uint32_t> table(layout.table), starts(layout.starts);
    const DeviceArray<Line> data(layout.data);
    device.table = table.data(), device.starts = starts.data(), device.data = data.data();
    device.extras = extras.view(c.extras);
    auto in = emulate_inputs(host.piece_shape(), 1, random_inputs(rng, 1, cols));
    check_inputs(host.piece_shape(), in, 1);
    const DeviceInputs inputs(in);
    const DeviceArray<float> y(static_cast<std::size_t>(rows));
    const auto name = "k = " + std::to_string(kK) + ", " + std::to_string(states) + " states, ";
    check(launch_tuple(device, limits, inputs.view(1), y.data(), nullptr), "tuples");
    check(cudaDeviceSynchronize(), "tuples");
    compare(y.host(), emulate_tuple<kK, kStates>(host, in.view(), 1, limits.shared_bytes),
            name + shape_name("tuples", rows, cols, 1));
    const auto stride = decoded_stride(host);
    DeviceArray<std::uint16_t> decoded(std::vector<std::uint16_t>(static_cast<std::size_t>(rows * stride)));
    check(launch_decode(device, limits, decoded.data(), nullptr), "decode");
    check(cudaDeviceSynchronize(), "decode");
    auto got = decoded.host(), expected = got;  // what is beyond the columns is rubbish
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < cols; ++j)
        expected[static_cast<std::size_t>(r * stride + j)] =
            f32_to_bf16(c.extras.row_steps[static_cast<std::size_t>(r)] * static_cast<float>(c.point(r, j)));
    compare(got, expected, name + shape_name("decoded", rows, cols, 0));
  }
}

int run() {
  const auto device = open_device();
  const auto limits = DeviceLimits::of(0);
  Rng rng(1);
  check_dense<2>(rng, limits);
  check_dense<3>(rng, limits);
  check_dense<4>(rng, limits);
  check_dense<8>(rng, limits);
  check_tuple<1, false>(rng, 1, limits);
  check_tuple<2, false>(rng, 1, limits);
  check_tuple<3, false>(rng, 1, limits);
  check_tuple<1, true>(rng, 8, limits);
  check_tuple<2, true>(rng, 4, limits);
  check_tuple<2, true>(rng, 8, limits);
  check_tuple<3, true>(rng, 4, limits);
  std::printf("%s: %d of %d results equal those of the emulator bit for bit\n", device.name, comparisons - failures,
              comparisons);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace nearplane::cuda

int main() { return nearplane::cuda::run(); }
