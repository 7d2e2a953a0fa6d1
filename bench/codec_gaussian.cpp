// How far the codec is from the limit of a Gaussian source, bits counted from the streams themselves with their tables:
// scalar quantization and trellises of 4, 8 and 16 states at 2 and 3 bits, each as rANS and as tuple code.
// Prints JSON, a line per case: bits and gap to Shannon's 1/2 log2(variance / distortion) in bits per weight; `ideal`:
// what the frequencies under each quantizer allow; `rounds`: of searching with code lengths refitted to the last
// result; `ns`: nanoseconds per weight to decode; tuple10, tuple11: tables of 10 and 11 bits, the best k. With an
// argument: as many rows of 4096 weights (default 128).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "base/process.h"
#include "base/rng.h"
#include "codec/rans.h"
#include "codec/trellis_search.h"
#include "codec/tuple_stream.h"

namespace {

using namespace nearplane;

constexpr std::int64_t kCols = 4096;

// Distortion and rate of one step: search, count, search with the lengths of the counts, until the lengths settle.
struct Quantized {
  std::vector<std::int32_t> levels;
  double distortion = 0, ideal_bits = 0;  // per weight
};

Quantized quantize(const Trellis& trellis, const std::vector<double>& x, double step, int rounds) {
  // lambda / step^2, about the slope of the distortion of each kind of quantizer at 2 to 3 bits.
  const double lambda = (trellis.states == 1 ? 0.1 : 0.06) * step * step;
  const auto count = static_cast<double>(x.size());
  Quantized q;
  LevelBits bits;
  for (int round = 0; round < rounds; ++round) {
    q.levels = trellis_search(trellis, x, kCols, step, lambda, bits);
    bits = LevelBits(count_levels(trellis, q.levels, kCols));
  }
  q.distortion = trellis_distortion(trellis, x, q.levels, kCols, step) / count;
  const auto counts = count_levels(trellis, q.levels, kCols);
  for (int k = 0; k < 2; ++k)
    for (const auto& [level, n] : counts[static_cast<std::size_t>(k)])
      q.ideal_bits += static_cast<double>(n) * bits(k, level) / count;
  return q;
}

// The step whose ideal rate is `bits`; a step times 2^r has about r bits less.
double find_step(const Trellis& trellis, const std::vector<double>& x, double bits, int rounds) {
  double step = 2 * std::exp2(-bits);
  for (int i = 0; i < 6; ++i) step *= std::exp2(quantize(trellis, x, step, rounds).ideal_bits - bits);
  return step;
}

std::vector<std::uint8_t> quantizers(const Trellis& trellis, const std::vector<std::int32_t>& levels) {
  std::vector<std::uint8_t> classes;
  int state = 0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    if (i % kCols == 0) state = 0;
    classes.push_back(static_cast<std::uint8_t>(Trellis::quantizer(state)));
    state = trellis.next(state, levels[i]);
  }
  return classes;
}

struct Stream {
  double bits, nanoseconds;  // per weight; the time is of decoding
  int k = 1;
};

Stream at_rest(const Trellis& trellis, const std::vector<std::int32_t>& levels) {
  std::vector<RansTable> tables;
  for (const auto& counts : count_levels(trellis, levels, kCols)) tables.emplace_back(counts);
  const auto stored = write_rans_tables(tables), stream = rans_encode(levels, quantizers(trellis, levels), tables);
  double seconds = 1e30;
  for (int i = 0; i < 5; ++i) {
    const Stopwatch watch;
    RansDecoder decoder(stream, tables, "stream");
    int state = 0;
    bool same = true;
    for (std::size_t j = 0; j < levels.size(); ++j) {
      if (j % kCols == 0) state = 0;
      const auto level = decoder.next(static_cast<std::size_t>(Trellis::quantizer(state)));
      same &= level == levels[j];
      state = trellis.next(state, level);
    }
    decoder.finish();
    seconds = std::min(seconds, watch.seconds());
    if (!same) fail_input("stream", "does not come back");
  }
  const auto count = static_cast<double>(levels.size());
  return {8 * static_cast<double>(stored.size() + stream.size()) / count, seconds * 1e9 / count};
}

Stream in_tuples(const Trellis& trellis, const std::vector<std::int32_t>& levels, int bits) {
  const auto code = best_tuple_code(levels, kCols, trellis, 0, bits, 0, "levels");
  const auto bytes = encode_tuples(levels, kCols, code, "levels");
  const TupleReader reader(bytes, "stream");
  std::vector<std::int16_t> points(levels.size());
  double seconds = 1e30;
  for (int i = 0; i < 5; ++i) {
    const Stopwatch watch;
    reader.decode(0, reader.rows(), points.data());
    seconds = std::min(seconds, watch.seconds());
  }
  int state = 0;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    if (i % kCols == 0) state = 0;
    if (points[i] != trellis.point(state, levels[i])) fail_input("stream", "does not come back");
    state = trellis.next(state, levels[i]);
  }
  const auto count = static_cast<double>(levels.size());
  return {8 * static_cast<double>(bytes.size()) / count, seconds * 1e9 / count, code.shape().k};
}

void measure(const Trellis& trellis, const std::vector<double>& x, double variance, double bits, int rounds) {
  const auto q = quantize(trellis, x, find_step(trellis, x, bits, rounds), rounds);
  const auto limit = 0.5 * std::log2(variance / q.distortion);
  const auto rans = at_rest(trellis, q.levels);
  fmt::print("{{\"target\": {}, \"states\": {}, \"rounds\": {}, \"ideal\": {:.4f}, \"gap_ideal\": {:.4f}, ", bits,
             trellis.states, rounds, q.ideal_bits, q.ideal_bits - limit);
  fmt::print("\"rans\": {:.4f}, \"gap_rans\": {:.4f}, \"rans_ns\": {:.2f}", rans.bits, rans.bits - limit,
             rans.nanoseconds);
  for (const int table : {10, 11}) {
    const auto tuples = in_tuples(trellis, q.levels, table);
    fmt::print(", \"tuple{0}\": {1:.4f}, \"gap_tuple{0}\": {2:.4f}, \"k{0}\": {3}, \"tuple{0}_ns\": {4:.2f}", table,
               tuples.bits, tuples.bits - limit, tuples.k, tuples.nanoseconds);
  }
  fmt::print("}}\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const auto rows = argc > 1 ? std::max(1, std::atoi(argv[1])) : 128;
  Rng rng(1);
  std::vector<double> x(static_cast<std::size_t>(rows * kCols));
  double variance = 0;
  for (auto& v : x) v = rng.normal(), variance += v * v;
  variance /= static_cast<double>(x.size());
  for (const double bits : {2.0, 3.0})
    for (const auto& trellis : kTrellises)
      for (const int rounds : {1, 2, 4}) measure(trellis, x, variance, bits, rounds);
}
