#include "kernel/cuda/tuple.h"

#include <gtest/gtest.h>

#include <map>

#include "codec/tuple_code.h"
#include "codec/tuple_map.h"
#include "kernel/cuda/emulated.h"
#include "tensor/matrix.h"

namespace nearplane::cuda {
namespace {

constexpr int kShared = 227 * 1024;  // of a block of sm_90

// Calls f.operator()<k, states != 1>(states) for everything a table entry has room for.
template <class F>
void for_every_kind(const F& f) {
  f.template operator()<1, false>(1);
  f.template operator()<2, false>(1);
  f.template operator()<3, false>(1);
  for (const int states : {4, 8}) {
    f.template operator()<1, true>(states);
    f.template operator()<2, true>(states);
  }
  f.template operator()<3, true>(4);
}

// Books: usual ones, one word of no bits, all words as long as they get.
std::vector<RandomBook> every_book(Rng& rng, int k, int states) {
  const int bits = states == 8 ? 9 : kMostWordBits;
  return {RandomBook::random(rng, k, states, bits, 5.5), RandomBook::random(rng, k, states, 4, 3),
          RandomBook::random(rng, k, states, bits, 0), RandomBook::random(rng, k, states, bits, bits)};
}

// Bit by bit: the words of lane `lane` of a chunk until `count` points have come.
std::vector<int> walk(const TupleLayout& layout, const RandomBook& book, int group, int chunk, int lane, int count) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(
      layout.data.data() + layout.starts[static_cast<std::size_t>(group * layout.shape.chunks + chunk)]);
  std::size_t at = 48 * 8, least = bytes[0] + 256u * bytes[1];
  for (int i = 0; i < lane; ++i) at += least + bytes[2 + i];
  const auto end = at + least + bytes[2 + lane];
  std::vector<int> points;
  for (int state = 0; static_cast<int>(points.size()) < count;) {
    unsigned code = 0;
    const RandomBook::Word* found = nullptr;
    for (int length = 0; found == nullptr; ++length) {
      for (const auto& word : book.words[static_cast<std::size_t>(state)])
        if (word.bits.length == length && word.bits.code == code) found = &word;
      if (found != nullptr) break;
      EXPECT_LT(at, end);
      code |= static_cast<unsigned>(bytes[at / 8] >> at % 8 & 1) << length;
      ++at;
    }
    points.insert(points.end(), found->points, found->points + book.k);
    state = found->end_state;
  }
  EXPECT_LE(at, end);
  return points;
}

TEST(CudaTuple, LayoutHoldsEveryWordWhereThePageSays) {
  Rng rng(1);
  for (const int k : {1, 2, 3}) {
    const int columns = 12 * k;
    for (const auto& book : {RandomBook::random(rng, k, 4, 6, 4.5), RandomBook::random(rng, k, 1, 10, 6)}) {
      const auto c = TupleCase::random(rng, 19, 100, columns, book, true);
      ASSERT_TRUE(TupleLayout::can_hold(c.source()));
      const TupleLayout layout(c.source());
      for (int row = 0; row < c.rows; ++row)
        for (int begin = 0; begin < c.cols; begin += columns) {
          const int count = std::min(columns, c.cols - begin), substream = begin / columns;
          const auto points = walk(layout, book, row / 8, substream / 4, row % 8 * 4 + substream % 4, count);
          for (int i = 0; i < count; ++i)
            ASSERT_EQ(points[static_cast<std::size_t>(i)] - c.zero_point, c.point(row, begin + i));
        }
    }
  }
}

template <int kK, bool kStates>
void expect_exact_sums(const TupleCase& c, std::vector<float> x) {
  ASSERT_TRUE(TupleLayout::can_hold(c.source()));
  const TupleLayout layout(c.source());
  const auto w = layout.view();
  auto in = emulate_inputs(w.piece_shape(), 1, std::move(x));
  EmulatedWarp warp(false);
  std::vector<Line> staging(static_cast<std::size_t>(w.chunk_lines));
  for (int group = 0; group < w.row_groups(); ++group)
    for (int chunk = 0; chunk < w.chunks; ++chunk)
      open_chunk(warp, w, group * w.chunks + chunk, c.table.data(), staging.data(),
                 [&](int lane, const Substream& codes) {
                   const int row = group * 8 + lane / 4, piece = chunk * 4 + lane % 4;
                   const auto product = substream_product<kK, kStates>(w, w.groups, codes, in.view(), piece);
                   if (row >= c.rows) return;
                   std::int64_t sum = 0;
                   for (int j = piece * c.columns; j < std::min(c.cols, (piece + 1) * c.columns); ++j)
                     sum += std::int64_t{c.point(row, j)} * in.value(0, j);
                   ASSERT_EQ(product, sum) << "row " << row << ", piece " << piece;
                 });
}

TEST(CudaTuple, SumsOfSubstreamsAreExact) {
  Rng rng(2);
  for_every_kind([&]<int kK, bool kStates>(int states) {
    for (const auto& book : every_book(rng, kK, states))
      for (const int cols : {1, 144, 300})
        for (const int columns : {18, 144, 252}) {
          const auto c = TupleCase::random(rng, 11, cols, columns, book, columns == 144);
          expect_exact_sums<kK, kStates>(c, random_inputs(rng, 1, cols));
          expect_exact_sums<kK, kStates>(c, std::vector<float>(static_cast<std::size_t>(cols), -1.5f));
        }
  });
}

TEST(CudaTuple, Products) {
  Rng rng(3);
  for_every_kind([&]<int kK, bool kStates>(int states) {
    auto c = TupleCase::random(rng, 75, 700, 144, every_book(rng, kK, states)[0], true);
    c.extras = random_extras(rng, c.rows, c.cols, 0.01, 2, true);
    const TupleLayout layout(c.source());
    auto w = layout.view();
    w.extras = c.extras.view();
    auto in = emulate_inputs(w.piece_shape(), 1, random_inputs(rng, 1, c.cols));
    const auto y = emulate_tuple<kK, kStates>(w, in.view(), 2, kShared);
    for (int row = 0; row < c.rows; ++row) {
      double sum = extra_product(c.extras, row, in.x.data(), [](int, int) { return 1.0; }), all = 0;
      for (int j = 0; j < c.cols; ++j) {
        sum += static_cast<double>(c.point(row, j)) * in.x[static_cast<std::size_t>(j)];
        all += std::abs(static_cast<double>(c.point(row, j)));
      }
      ASSERT_NEAR(y[static_cast<std::size_t>(row)], sum * c.extras.row_steps[static_cast<std::size_t>(row)],
                  all * 500 / kLargestInput);
    }
    EXPECT_EQ(y, (emulate_tuple<kK, kStates>(w, in.view(), 2, kShared, true)));
    EXPECT_EQ(y, (emulate_tuple<kK, kStates>(w, in.view(), 1, kShared / 4)));
  });
}

// What the lanes read stays in the chunk whatever it holds; an address sanitizer looks on.
TEST(CudaTuple, DamagedChunksAreReadInsideTheirBytes) {
  Rng rng(4);
  for_every_kind([&]<int kK, bool kStates>(int states) {
    const auto c = TupleCase::random(rng, 16, 300, 144, every_book(rng, kK, states)[0], true);
    TupleLayout layout(c.source());
    auto in = emulate_inputs(layout.shape.piece_shape(), 1, random_inputs(rng, 1, c.cols));
    for (int trial = 0; trial < 20; ++trial) {
      for (auto& line : layout.data)
        for (auto& word : line.word) word = static_cast<std::uint32_t>(rng.bits());
      emulate_tuple<kK, kStates>(layout.view(), in.view(), 1, kShared);
    }
  });
}

TEST(CudaTuple, RowsOfVeryDifferentLengthShareAChunk) {
  Rng rng(5);
  auto book = RandomBook::random(rng, 3, 1, 10, 7);
  auto c = TupleCase::random(rng, 8, 1008, 252, book, true);
  const auto by_length = [](const auto& a, const auto& b) { return a.bits.length < b.bits.length; };
  const auto [shortest, longest] = std::minmax_element(book.words[0].begin(), book.words[0].end(), by_length);
  ASSERT_GT(84 * (longest->bits.length - shortest->bits.length), 255);  // more than a byte can say
  for (std::size_t i = 0; i < c.words.size(); ++i) {
    const auto& word = i < c.words.size() / 2 ? *shortest : *longest;
    c.words[i] = word.bits;
    std::copy_n(word.points, 3, c.points.begin() + 3 * static_cast<std::ptrdiff_t>(i));
  }
  expect_exact_sums<3, false>(c, random_inputs(rng, 1, c.cols));
}

TEST(CudaTuple, RefusesWhatItsLanesCannotDecode) {
  Rng rng(6);
  const auto holds = [&](int k, int states, int bits, int columns) {
    const auto c = TupleCase::random(rng, 1, 10, columns, RandomBook::random(rng, k, states, bits, bits), true);
    return TupleLayout::can_hold(c.source());
  };
  EXPECT_TRUE(holds(3, 4, 10, 252));
  EXPECT_FALSE(holds(3, 8, 10, 252));  // no room for the state
  EXPECT_FALSE(holds(3, 1, 11, 252));  // three words might have 33 bits
  EXPECT_FALSE(holds(3, 1, 10, 261));  // a sum might not fit
  EXPECT_FALSE(holds(3, 1, 10, 12));   // not whole groups
}

// The usual tables, and the longest chunks there can be.
TEST(CudaTuple, TablesAndChunksFitSharedMemory) {
  const auto fit = [](int states, int bits, int cols, int kilobytes) {
    TupleMatrix w{};
    w.states = states, w.table_bits = bits;
    w.columns = TupleLayout::columns_for(cols, 3), w.chunks = (cols + 4 * w.columns - 1) / (4 * w.columns);
    w.chunk_lines = kHeaderLines + (w.columns / 3 * kMostWordBits * kLanes + 127) / 128;
    const int warps = fit_shared(w, kilobytes * 1024);
    return std::pair(warps, warps > 0 ? 1 << w.copies_log : 0);
  };
  EXPECT_EQ(fit(1, 10, 4096, 227), std::pair(32, 32));
  EXPECT_EQ(fit(1, 9, 28672, 227), std::pair(32, 32));
  EXPECT_EQ(fit(4, 8, 4096, 163), std::pair(32, 16));
  EXPECT_EQ(fit(1, 10, 4096, 99), std::pair(16, 8));
  EXPECT_EQ(fit(8, 10, 4096, 99), std::pair(4, 2));
  EXPECT_EQ(fit(16, 10, 4096, 48), std::pair(0, 0));
}

TEST(CudaTuple, SubstreamsFillRows) {
  for (int k = 1; k <= 3; ++k)
    for (const int cols : {1, 576, 1536, 4096, 8192, 14336, 28672}) {
      const int columns = TupleLayout::columns_for(cols, k);
      EXPECT_EQ(columns % (3 * k), 0);
      EXPECT_LE(columns, kMostPieceColumns);
      const int padded = (cols + 4 * columns - 1) / (4 * columns) * 4 * columns;
      EXPECT_LE(padded, cols + cols / 16 + 4 * 3 * k) << cols << ", k = " << k;
    }
}

// Codes as the runtime makes them: fitted to levels, words looked up, what has no word listed.
TEST(CudaTuple, WordsOfTheCodec) {
  Rng rng(7);
  const int rows = 24, cols = 300, columns = 144;
  std::vector<std::int32_t> levels;
  for (int i = 0; i < rows * cols; ++i) levels.push_back(static_cast<std::int32_t>(std::lround(1.4 * rng.normal())));
  levels[5] = 999;
  for_every_kind([&]<int kK, bool kStates>(int states) {
    const TupleShape shape{kK, *find_trellis(states), columns};
    const TupleCode code(count_tuples(levels, cols, shape, "levels"), 9);
    TupleWords words_of(code, "levels");
    std::vector<TupleBits> words;
    ExtraLayout extras;
    Matrix<double> points(rows, cols);
    for (int row = 0; row < rows; ++row) {
      extras.starts.push_back(static_cast<std::uint32_t>(extras.list.size()));
      for_each_tuple(std::span(levels).subspan(static_cast<std::size_t>(row * cols), cols), shape,
                     [&](std::size_t column, int state, const Tuple& tuple) {
                       const auto& word = words_of(state, tuple);
                       const auto wanted = shape.points(state, tuple);
                       words.push_back({word.code, word.length});
                       for (std::size_t i = 0; i < kK && column + i < cols; ++i) {
                         points(row, static_cast<std::int64_t>(column + i)) = wanted[i];
                         if (wanted[i] != word.points[i])
                           extras.list.push_back({static_cast<std::uint16_t>(column + i),
                                                  static_cast<std::int16_t>(wanted[i] - word.points[i])});
                       }
                     });
    }
    extras.starts.push_back(static_cast<std::uint32_t>(extras.list.size()));
    EXPECT_GT(extras.list.size(), 0u);
    const auto table = code.table();
    const TupleSource source{rows, cols, kK, columns, code.table_bits(), states, code.zero_point(), table, words};
    ASSERT_TRUE(TupleLayout::can_hold(source));
    const TupleLayout layout(source);
    auto w = layout.view();
    w.extras = extras.view();
    auto in = emulate_inputs(w.piece_shape(), 1, random_inputs(rng, 1, cols));
    const auto y = emulate_tuple<kK, kStates>(w, in.view(), 1, kShared);
    for (int row = 0; row < rows; ++row) {
      double sum = 0, all = 0;
      for (int j = 0; j < cols; ++j) {
        sum += points(row, j) * in.x[static_cast<std::size_t>(j)];
        all += std::abs(points(row, j));
      }
      ASSERT_NEAR(y[static_cast<std::size_t>(row)], sum, all * 500 / kLargestInput) << "k = " << kK << ", row " << row;
    }
  });
}

}  // namespace
}  // namespace nearplane::cuda
