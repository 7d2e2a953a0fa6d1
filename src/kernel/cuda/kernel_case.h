// Random matrices for the kernels and what their products are, computed slowly and apart from them: for the tests under
// the emulator and for the check on a device, which has no library but the standard one.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "kernel/cuda/device_layout.h"

namespace nearplane::cuda {

inline std::vector<float> random_inputs(Rng& rng, int tokens, int cols) {
  std::vector<float> x(static_cast<std::size_t>(tokens) * static_cast<std::size_t>(cols));
  for (auto& v : x) v = static_cast<float>(rng.normal());
  x[x.size() / 2] = 500;  // to be felt in its own piece only
  return x;
}

/// Memory of Inputs.
struct InputMemory {
  PieceShape shape;
  std::vector<float> x, scales;
  std::vector<std::uint32_t> high, low;
  std::vector<std::int32_t> sums;

  InputMemory(const PieceShape& s, int tokens, std::vector<float> inputs)
      : shape(s), x(std::move(inputs)), scales(static_cast<std::size_t>(tokens * s.pieces)) {
    high.resize(scales.size() * static_cast<std::size_t>(s.words)), low.resize(high.size());
    sums.resize(scales.size());
  }
  Inputs view() {
    const int tokens = static_cast<int>(scales.size()) / shape.pieces;
    return {tokens, high.data(), low.data(), scales.data(), sums.data(), x.data()};
  }
  /// The integer that stands for column `column` of token `token`.
  int value(int token, int column) const {
    const int piece = column / shape.columns;
    for (int word = 0; word < shape.words; ++word)
      for (int byte = 0; byte < 4; ++byte)
        if (shape.column(word, byte) == column % shape.columns) {
          const auto at = static_cast<std::size_t>((token * shape.pieces + piece) * shape.words + word);
          return kPlane * static_cast<std::int8_t>(high[at] >> 8 * byte) +
                 static_cast<std::int8_t>(low[at] >> 8 * byte);
        }
    return 0;
  }
};

/// A listed difference in `share` of the weights, `kept` columns, steps of rows if `steps`. If `uneven`, rows that are
/// multiples of 7 have empty lists, and row 1 lists every column.
inline ExtraLayout random_extras(Rng& rng, int rows, int cols, double share, int kept, bool steps, bool uneven = true) {
  ExtraLayout out;
  for (int row = 0; row < rows && share > 0; ++row) {
    out.starts.push_back(static_cast<std::uint32_t>(out.list.size()));
    for (int column = 0; column < cols; ++column)
      if (rng.uniform() < (uneven && row % 7 == 0 ? 0 : uneven && row == 1 ? 1 : share))
        out.list.push_back({static_cast<std::uint16_t>(column), static_cast<std::int16_t>(rng.below(9) - 4)});
  }
  if (share > 0) out.starts.push_back(static_cast<std::uint32_t>(out.list.size()));
  for (int k = 0; k < kept; ++k) out.kept_columns.push_back(k * cols / kept);
  for (int i = 0; i < rows * kept; ++i) out.kept_values.push_back(f32_to_f16(static_cast<float>(rng.normal())));
  for (int row = 0; row < rows && steps; ++row) out.row_steps.push_back(static_cast<float>(0.5 + rng.uniform()));
  return out;
}

struct DenseCase {
  int rows, cols, bits, group;
  std::vector<std::uint8_t> codes, zeros;  // [rows][cols], [rows][groups]
  std::vector<std::uint16_t> scales;       // [rows][groups]
  ExtraLayout extras;

  int groups() const { return (cols + group - 1) / group; }
  static DenseCase random(Rng& rng, int rows, int cols, int bits, int group) {
    DenseCase out{rows, cols, bits, std::min(group, cols), {}, {}, {}, {}};
    for (int i = 0; i < rows * cols; ++i) out.codes.push_back(static_cast<std::uint8_t>(rng.below(1u << bits)));
    for (int i = 0; i < rows * out.groups(); ++i) {
      out.zeros.push_back(static_cast<std::uint8_t>(rng.below(1u << bits)));
      out.scales.push_back(f32_to_f16(static_cast<float>(0.01 + 0.01 * rng.uniform())));
    }
    return out;
  }
  DenseLayout layout() const { return {rows, cols, bits, group, codes, scales, zeros}; }
  int code(int row, int column) const { return codes[static_cast<std::size_t>(row * cols + column)]; }
  int zero(int row, int column) const { return zeros[static_cast<std::size_t>(row * groups() + column / group)]; }
  double step(int row, int column) const {
    return f16_to_f32(scales[static_cast<std::size_t>(row * groups() + column / group)]);
  }
  double weight(int row, int column) const { return step(row, column) * (code(row, column) - zero(row, column)); }
};

/// A complete prefix code for each state, its words with random points and end states.
struct RandomBook {
  struct Word {
    TupleBits bits;
    int end_state;
    std::uint8_t points[3];
  };
  int k, states, bits;
  std::vector<std::vector<Word>> words;  // [states]

  /// Words of `bits` bits at most are split into two until one has `mean` bits on average, as often as its length says.
  static RandomBook random(Rng& rng, int k, int states, int bits, double mean) {
    RandomBook out{k, states, bits, {}};
    for (int state = 0; state < states; ++state) {
      std::vector<Word> done, open{Word{}};
      for (double now = 0; now < mean && !open.empty();) {
        std::swap(open[rng.below(open.size())], open.back());
        auto word = open.back();
        open.pop_back();
        now += std::ldexp(1.0, -word.bits.length);
        for (unsigned bit = 0; bit < 2; ++bit) {
          auto child = word;
          child.bits.code = static_cast<std::uint16_t>(word.bits.code | bit << word.bits.length);
          child.bits.length = static_cast<std::uint8_t>(word.bits.length + 1);
          (child.bits.length < bits ? open : done).push_back(child);
        }
      }
      done.insert(done.end(), open.begin(), open.end());
      for (auto& word : done) {
        word.end_state = static_cast<int>(rng.below(static_cast<std::uint64_t>(states)));
        for (auto& point : word.points) point = static_cast<std::uint8_t>(rng.below(256));
      }
      out.words.push_back(std::move(done));
    }
    return out;
  }
  int table_bits() const { return std::max(bits, 6); }
  std::vector<std::uint32_t> table() const {
    std::vector<std::uint32_t> out(static_cast<std::size_t>(states) << table_bits());
    for (std::size_t state = 0; state < words.size(); ++state)
      for (const auto& word : words[state]) {
        std::uint32_t entry = word.bits.length | static_cast<std::uint32_t>(word.end_state)
                                                     << (k == 3 ? 6 : table_bits());
        for (int i = 0; i < k; ++i) entry |= std::uint32_t{word.points[i]} << 8 * (4 - k + i);
        for (std::uint32_t at = word.bits.code; at < 1u << table_bits(); at += 1u << word.bits.length)
          out[state << table_bits() | at] = entry;
      }
    return out;
  }
};

struct TupleCase {
  int rows, cols, columns, zero_point;
  RandomBook book;
  std::vector<std::uint32_t> table;
  std::vector<TupleBits> words;      // [rows][ceil(cols / k)]
  std::vector<std::uint8_t> points;  // [rows][k ceil(cols / k)]
  ExtraLayout extras;

  /// Words as likely as their lengths say, or all alike.
  static TupleCase random(Rng& rng, int rows, int cols, int columns, RandomBook book, bool as_lengths) {
    TupleCase out{rows, cols, columns, static_cast<int>(rng.below(256)), std::move(book), {}, {}, {}, {}};
    out.table = out.book.table();
    const int k = out.book.k;
    for (int row = 0; row < rows; ++row)
      for (int column = 0, state = 0; column < cols; column += k) {
        if (column % columns == 0) state = 0;
        const auto& words = out.book.words[static_cast<std::size_t>(state)];
        auto pick = rng.below(words.size());
        if (as_lengths)
          while (rng.below(1ull << words[pick].bits.length) != 0) pick = rng.below(words.size());
        out.words.push_back(words[pick].bits);
        out.points.insert(out.points.end(), words[pick].points, words[pick].points + k);
        state = words[pick].end_state;
      }
    return out;
  }
  TupleSource source() const {
    return {rows, cols, book.k, columns, book.table_bits(), book.states, zero_point, table, words};
  }
  int point(int row, int column) const {
    const int stride = (cols + book.k - 1) / book.k * book.k;
    return points[static_cast<std::size_t>(row * stride + column)] - zero_point;
  }
};

/// What the list adds to y[row], in double; step(row, column) as in finish_rows.
template <class Step>
double extra_product(const ExtraLayout& extras, int row, const float* x, const Step& step) {
  double sum = 0;
  const auto r = static_cast<std::size_t>(row), kept = extras.kept_columns.size();
  if (!extras.starts.empty())
    for (auto e = extras.starts[r]; e < extras.starts[r + 1]; ++e)
      sum += step(row, extras.list[e].column) * extras.list[e].delta * x[extras.list[e].column];
  for (std::size_t k = 0; k < kept; ++k)
    sum += static_cast<double>(f16_to_f32(extras.kept_values[r * kept + k])) * x[extras.kept_columns[k]];
  return sum;
}

}  // namespace nearplane::cuda
