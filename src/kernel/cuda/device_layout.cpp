#include "kernel/cuda/device_layout.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <numeric>

namespace nearplane::cuda {
namespace {

constexpr int kTileQuads = kTileColumns / 4;

int ceil_div(int a, int b) { return (a + b - 1) / b; }

// Word `word` of lane `row` of a tile, counted in words of 32 bits: full lines, then half lines.
int word_index(int bits, int row, int word) {
  if (word / 4 < bits / 2) return (word / 4 * kLanes + row) * 4 + word % 4;
  return bits / 2 * kLanes * 4 + row * 2 + word % 4;
}

// Four codes, each in a byte, to where TileCodes has the `quad`-th of a tile.
void put_quad(int bits, std::uint32_t four, int quad, int row, std::uint32_t* tile) {
  const auto put = [&](int word, std::uint32_t bytes) { tile[word_index(bits, row, word)] |= bytes; };
  if (bits == 8) return put(quad, four);
  if (bits == 4) return put(quad / 2, four << 4 * (quad % 2));
  const int field = quad % 4, word = quad / 4;
  put(word, (four & 0x03030303u) << 2 * field);
  if (bits == 3) put(4 + word / 2, (four >> 2 & 0x01010101u) << third_bit(word % 2, field));
}

// The 32 substreams of a chunk, their words put down one bit after the other.
class ChunkWriter {
 public:
  void add(std::span<const TupleBits> words) {
    std::vector<bool> stream;
    for (const auto& word : words)
      for (int i = 0; i < word.length; ++i) stream.push_back(word.code >> i & 1);
    streams_.push_back(std::move(stream));
  }
  // Appends the chunk. A length is the least plus one byte: shorter ones are filled up where that is not enough.
  void write(std::vector<Line>& out) {
    std::size_t least = streams_.front().size(), most = 0;
    for (const auto& stream : streams_) least = std::min(least, stream.size()), most = std::max(most, stream.size());
    least = std::max(least, most > 255 ? most - 255 : 0);
    std::size_t bits = 0;
    std::array<std::uint8_t, kHeaderLines * sizeof(Line)> header{};
    header[0] = static_cast<std::uint8_t>(least), header[1] = static_cast<std::uint8_t>(least >> 8);
    for (std::size_t i = 0; i < streams_.size(); ++i) {
      streams_[i].resize(std::max(streams_[i].size(), least));
      header[2 + i] = static_cast<std::uint8_t>(streams_[i].size() - least);
      bits += streams_[i].size();
    }
    const auto begin = out.size();
    out.resize(begin + kHeaderLines + std::max<std::size_t>(1, (bits + 127) / 128));
    std::memcpy(out.data() + begin, header.data(), header.size());
    std::size_t at = (begin + kHeaderLines) * 128;
    for (const auto& stream : streams_)
      for (const bool bit : stream) {
        out[at / 128].word[at / 32 % 4] |= static_cast<std::uint32_t>(bit) << at % 32;
        ++at;
      }
    streams_.clear();
  }

 private:
  std::vector<std::vector<bool>> streams_;
};

}  // namespace

bool DenseLayout::can_hold(int bits, std::int64_t cols, std::int64_t group) {
  const bool whole = group >= cols || group % kTileColumns == 0;
  return (bits == 2 || bits == 3 || bits == 4 || bits == 8) && whole && cols > 0 && cols <= 1 << 24;
}

DenseLayout::DenseLayout(int rows, int cols, int bits, int group, std::span<const std::uint8_t> source,
                         std::span<const std::uint16_t> source_scales, std::span<const std::uint8_t> source_zeros) {
  assert(can_hold(bits, cols, group));
  const int tiles = ceil_div(cols, kTileColumns), group_tiles = group >= cols ? tiles : group / kTileColumns;
  const int piece_tiles = group >= cols || group_tiles % 2 == 0 ? 2 : 1;
  shape.rows = rows, shape.cols = cols, shape.bits = bits, shape.tiles = tiles;
  shape.piece_tiles = piece_tiles, shape.pieces = ceil_div(tiles, piece_tiles);
  shape.group_pieces = ceil_div(group_tiles, piece_tiles), shape.groups = ceil_div(shape.pieces, shape.group_pieces);
  const int blocks = shape.row_blocks(), tile_words = 64 * bits;
  codes.resize(static_cast<std::size_t>(blocks) * static_cast<std::size_t>(tiles * 16 * bits));
  scales.resize(static_cast<std::size_t>(blocks) * static_cast<std::size_t>(shape.groups * kBlockRows));
  zeros.resize(scales.size());
  for (int row = 0; row < rows; ++row) {
    const auto* from_row = source.data() + static_cast<std::int64_t>(row) * cols;
    auto* block = codes.front().word + static_cast<std::int64_t>(row / kBlockRows) * tiles * tile_words;
    for (int quad = 0; quad < ceil_div(cols, 4); ++quad) {
      std::uint32_t four = 0;
      for (int i = 0; i < 4 && 4 * quad + i < cols; ++i) four |= std::uint32_t{from_row[4 * quad + i]} << 8 * i;
      auto* tile = block + static_cast<std::int64_t>(quad / kTileQuads) * tile_words;
      put_quad(bits, four, quad % kTileQuads, row % kBlockRows, tile);
    }
    for (int g = 0; g < shape.groups; ++g) {
      const auto to = static_cast<std::size_t>(shape.scale_at(row, g));
      const auto from =
          static_cast<std::size_t>(row) * static_cast<std::size_t>(shape.groups) + static_cast<std::size_t>(g);
      scales[to] = source_scales[from], zeros[to] = source_zeros[from];
    }
  }
}

DenseMatrix DenseLayout::view() const {
  auto out = shape;
  out.codes = codes.data(), out.scales = scales.data(), out.zeros = zeros.data();
  return out;
}

bool TupleLayout::can_hold(const TupleSource& s) {
  const auto longest = [](std::uint32_t most, std::uint32_t entry) { return std::max(most, entry & 15); };
  const bool state_fits = s.k < 3 || s.states <= 4;
  return s.k >= 1 && s.k <= 3 && state_fits && s.cols > 0 && s.columns > 0 && s.columns <= kMostPieceColumns &&
         s.columns % (s.k * kGroupTuples) == 0 && s.table_bits >= 6 && s.table_bits <= 11 &&
         std::accumulate(s.table.begin(), s.table.end(), 0u, longest) <= kMostWordBits;
}

int TupleLayout::columns_for(int cols, int k) {
  const int unit = k * kGroupTuples, most = kMostPieceColumns / unit * unit;
  const int chunks = ceil_div(cols, kChunkQuarters * most);
  return ceil_div(ceil_div(cols, kChunkQuarters * chunks), unit) * unit;
}

TupleLayout::TupleLayout(const TupleSource& source) : table(source.table.begin(), source.table.end()) {
  assert(can_hold(source));
  shape.rows = source.rows, shape.cols = source.cols, shape.k = source.k, shape.columns = source.columns;
  shape.groups = source.columns / (source.k * kGroupTuples);
  shape.chunks = ceil_div(source.cols, kChunkQuarters * source.columns);
  shape.table_bits = source.table_bits, shape.states = source.states, shape.zero_point = source.zero_point;
  const int row_tuples = ceil_div(source.cols, source.k), tuples = source.columns / source.k;
  ChunkWriter writer;
  for (int group = 0; group < shape.row_groups(); ++group)
    for (int chunk = 0; chunk < shape.chunks; ++chunk) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const int row = group * kChunkRows + lane / kChunkQuarters;
        const int first = (chunk * kChunkQuarters + lane % kChunkQuarters) * tuples;
        const int count = row < source.rows ? std::clamp(row_tuples - first, 0, tuples) : 0;
        writer.add(source.words.subspan(
            count > 0
                ? static_cast<std::size_t>(row) * static_cast<std::size_t>(row_tuples) + static_cast<std::size_t>(first)
                : 0,
            static_cast<std::size_t>(count)));
      }
      starts.push_back(static_cast<std::uint32_t>(data.size()));
      writer.write(data);
      shape.chunk_lines = std::max(shape.chunk_lines, static_cast<int>(data.size() - starts.back()));
    }
  starts.push_back(static_cast<std::uint32_t>(data.size()));
}

TupleMatrix TupleLayout::view() const {
  auto out = shape;
  out.table = table.data(), out.starts = starts.data(), out.data = data.data();
  return out;
}

}  // namespace nearplane::cuda
