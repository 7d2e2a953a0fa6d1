// Products of packed weights with the activations of one token and of several, one thread, weights larger than any
// cache: how many weights a second, and how near that is to what reading their bytes costs on this machine.
// kernel_rate [PART]: only representations whose names contain PART. NEARPLANE_TARGET as for the program.
// Prints JSON: the read rate (GB/s, the better of two runs around the others), and for each representation bits per
// weight, 1e9 weights/s and the share of the bandwidth bound for one token, 1e9 weights/s times tokens for 4 and 32.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/rng.h"
#include "base/threads.h"
#include "codec/tuple_stream.h"
#include "kernel/gemm.h"
#include "kernel/packed_dot.h"
#include "kernel/tuple_dot.h"
#include "nearplane/machine.h"
#include "tensor/half.h"

namespace {

using namespace nearplane;

constexpr std::int64_t kRows = 65536, kCols = 4096, kTile = 64;
constexpr double kSeconds = 1;

template <class F>
double per_second(const F& body) {
  body();
  const Stopwatch watch;
  int times = 0;
  do body(), ++times;
  while (watch.seconds() < kSeconds);
  return times / watch.seconds();
}

volatile std::uint64_t sink;

double read_rate() {
  const std::vector<std::uint64_t> data(std::size_t{64} << 20, 1);  // 512 MB
  return 8e-9 * static_cast<double>(data.size()) * per_second([&] {
           std::uint64_t sums[16] = {};
           for (std::size_t i = 0; i < data.size(); i += 16)
             for (std::size_t k = 0; k < 16; ++k) sums[k] ^= data[i + k];
           sink = std::accumulate(sums, sums + 16, std::uint64_t{0});
         });
}

// Random rows of one shape with f16 scales, which are widened as a layer does it.
class Layer {
 public:
  Layer(std::string name, PackedShape shape, std::int64_t row_bytes)
      : name_(std::move(name)), shape_(std::move(shape)), row_bytes_(row_bytes) {
    Rng rng(1);
    codes_.resize(static_cast<std::size_t>(kRows * row_bytes_ + kPackedPadding));
    for (std::size_t i = 0; i < codes_.size(); ++i)
      codes_[i] = i < (1 << 20) ? static_cast<std::byte>(rng.bits()) : codes_[i - (1 << 20)];
    scales_.resize(static_cast<std::size_t>(kRows * shape_.pieces()), f32_to_f16(0.01f));
    zeros_.resize(scales_.size(), 1);
  }
  double bytes() const { return static_cast<double>(row_bytes_ * kRows) + 3.0 * static_cast<double>(scales_.size()); }
  void print(double gigabytes) const {
    const auto one = rate(1), bound = gigabytes * kRows * kCols / bytes();
    fmt::print("  \"{}\": {{\"bits\": {:.2f}, \"1\": {:.2f}, \"share\": {:.2f}", name_, 8 * bytes() / (kRows * kCols),
               one, one / bound);
    for (const std::int64_t tokens : {4, 32, 64}) fmt::print(", \"{}\": {:.2f}", tokens, rate(tokens));
    fmt::print("}},\n");
  }

 private:
  // 1e9 products of a weight and an activation per second.
  double rate(std::int64_t tokens) const {
    std::vector<float> x(static_cast<std::size_t>(tokens * kCols), 0.5f),
        sums(static_cast<std::size_t>(kTile * tokens));
    const auto room = shape_.pieces() * PackedInputs::room_for(tokens);
    std::vector<std::int16_t> values(static_cast<std::size_t>(room * shape_.width));
    std::vector<float> x_scales(static_cast<std::size_t>(room)), x_sums(x_scales.size());
    const auto product = [&](std::int64_t rows) {
      pack_inputs(shape_, {x.data(), tokens, kCols, kCols}, nullptr, values.data(), x_scales.data(), x_sums.data());
      const PackedInputs in{tokens, values.data(), x_scales.data(), x_sums.data()};
      const auto n = shape_.pieces();
      std::vector<float> scales(static_cast<std::size_t>(kTile * n + kScalePadding)), offsets(scales.size());
      for (std::int64_t r0 = 0; r0 < rows; r0 += kTile) {
        widen_scales(scales_.data() + r0 * n, zeros_.data() + r0 * n, 0, kTile * n, scales.data(), offsets.data());
        std::vector<PackedRow> tile;
        for (std::int64_t i = 0; i < kTile; ++i)
          tile.push_back({codes_.data() + (r0 + i) * row_bytes_, scales.data() + i * n, offsets.data() + i * n});
        packed_dot(shape_, in, tile, sums.data());
      }
    };
    const auto rows = tokens > 16 ? kRows / 8 : kRows;
    return 1e-9 * static_cast<double>(rows * kCols * tokens) * per_second([&] { product(rows); });
  }

  std::string name_;
  PackedShape shape_;
  std::int64_t row_bytes_;
  std::vector<std::byte> codes_;
  std::vector<std::uint16_t> scales_;
  std::vector<std::uint8_t> zeros_;
};

// Levels of a Gaussian source rounded to `step`, through a trellis as they come: rates do not depend on the distortion.
class Tuples {
 public:
  Tuples(std::string name, double step, int states, int bits) : name_(std::move(name)) {
    Rng rng(1);
    std::vector<std::int32_t> levels(static_cast<std::size_t>(kTupleRows * kCols));
    for (auto& z : levels) z = static_cast<std::int32_t>(std::lround(rng.normal() / step));
    const auto code =
        best_tuple_code(std::span(levels).first(32 * kCols), kCols, *find_trellis(states), 144, bits, 0.02, "levels");
    bytes_ = encode_tuples(levels, kCols, code, "levels");
    fmt::print(stderr, "{}: k = {}\n", name_, code.shape().k);
  }
  void print() const {
    const TupleReader reader(bytes_, "levels");
    const auto shape = PackedShape::stream(kCols, 8, kCols);
    const auto stride = kCols + 128, n = shape.pieces();
    std::vector<std::uint8_t> rows(static_cast<std::size_t>(kTupleTile * stride));
    std::vector<float> x(kCols, 0.5f), sums(kTupleTile), ones(static_cast<std::size_t>(n), 1), scales(ones),
        x_sums(ones);
    std::vector<std::int16_t> values(static_cast<std::size_t>(n * shape.width));
    std::vector<PackedRow> tile;
    for (std::int64_t r = 0; r < kTupleTile; ++r)
      tile.push_back({reinterpret_cast<const std::byte*>(rows.data() + r * stride), ones.data(), ones.data()});
    const auto rate = [&](bool multiply) {
      return 1e-9 * kTupleRows * kCols * per_second([&] {
               pack_inputs(shape, {x.data(), 1, kCols, kCols}, nullptr, values.data(), scales.data(), x_sums.data());
               for (std::int64_t r = 0; r < kTupleRows; r += kTupleTile) {
                 reader.decode_bytes(r, kTupleTile, rows.data(), stride);
                 if (multiply) packed_dot(shape, {1, values.data(), scales.data(), x_sums.data()}, tile, sums.data());
               }
             });
    };
    const auto dot = [&] {
      const auto table = reader.table();
      TupleInputs in;
      std::vector<float> out(kTupleRows);
      return 1e-9 * kTupleRows * kCols * per_second([&] {
               pack_tuple_inputs(table, x.data(), nullptr, reader.code().zero_point(), in);
               if (tuple_dot(table, reader.row_starts(0), kTupleRows, in, out.data())) std::abort();
             });
    };
    fmt::print("  \"{}\": {{\"bits\": {:.2f}, \"decode\": {:.2f}, \"1\": {:.2f}}},\n", name_,
               8.0 * static_cast<double>(bytes_.size()) / (kTupleRows * kCols), rate(false),
               has_tuple_dot() ? dot() : rate(true));
  }

 private:
  static constexpr std::int64_t kTupleRows = 4096, kTupleTile = 32;
  std::string name_;
  std::vector<std::byte> bytes_;
};

double gemm_rate(std::int64_t tokens) {
  constexpr std::int64_t rows = 2048;
  std::vector<float> x(static_cast<std::size_t>(tokens * kCols), 0.5f), w(rows * kCols, 0.25f),
      y(static_cast<std::size_t>(tokens * rows));
  return 1e-9 * static_cast<double>(tokens * rows * kCols) *
         per_second([&] { gemm_nt(tokens, rows, kCols, 1, x.data(), kCols, w.data(), kCols, 0, y.data(), rows); });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string part = argc > 1 ? argv[1] : "";
  set_thread_count(1);
  if (const char* target = std::getenv("NEARPLANE_TARGET")) use_vector_target(target);
  parallel_for(1, [&](std::int64_t) {
    const auto gigabytes = read_rate();
    fmt::print("{{\n  \"target\": \"{}\",\n  \"read_gbytes\": {:.2f},\n  \"f32_products_256\": {:.2f},\n",
               vector_target(), gigabytes, gemm_rate(256));
    const auto layer = [&](const std::string& name, const PackedShape& shape, std::int64_t row_bytes) {
      if (name.find(part) != name.npos) Layer(name, shape, row_bytes).print(gigabytes);
    };
    for (const int bits : {2, 3, 4, 5, 6, 8})
      layer(fmt::format("int{}, groups of 64", bits), PackedShape::stream(kCols, bits, 64), kCols * bits / 8);
    layer("int4, groups of 32", PackedShape::stream(kCols, 4, 32), kCols / 2);
    layer("Q4_0", PackedShape::blocks(kCols, CodeForm::halves, 2), kCols / 32 * 18);
    layer("Q8_0", PackedShape::blocks(kCols, CodeForm::signed_bytes, 2), kCols / 32 * 34);
    for (const int states : {1, 4, 8})
      for (const int bits : {2, 3}) {
        const auto name = fmt::format("tuples, {} bits, {} states", bits, states);
        if (name.find(part) != name.npos) Tuples(name, bits == 2 ? 1.03 : 0.52, states, states < 8 ? 11 : 10).print();
      }
    fmt::print("  \"read_gbytes_after\": {:.2f}\n}}\n", read_rate());
  });
}
