// Entropy-coded levels in two forms made at load, since rANS streams of the file decode one after the other: code words
// of tuples, which any row can be decoded from a table probe at a time (codec/tuple_stream.h), or 4 to 8 bits for each
// point. Steps of columns go into the activations, steps of rows into the sums; a point that its form does not hold is
// corrected.
#include "base/threads.h"
#include "codec/pack.h"
#include "codec/tuple_stream.h"
#include "runtime/coded_levels.h"
#include "runtime/packed_matrix.h"

namespace nearplane {
namespace {

constexpr std::int64_t kByteStride = 128;   // behind a row of decoded bytes: room for kPackedPadding and tuples
constexpr int kLeastBits = 4;               // of expanded points,
constexpr double kMostOutside = 1.0 / 512;  //   so many of which may need a correction: 16 bytes, some nanoseconds
constexpr int kTableBits = 13;              // of the tables of all states together: 32 KB stay near the core

class PackedSteps : public PackedMatrix {
 public:
  // Rows of codes of `bits` bits: points, made unsigned.
  PackedSteps(const CodedTensor& t, int bits)
      : PackedMatrix(t.rows, PackedShape::stream(t.cols, bits, t.cols)),
        columns_(static_cast<std::size_t>(t.cols), t.step),
        ones_(static_cast<std::size_t>(shape().pieces()), 1.0f) {
    for (std::size_t j = 0; j < t.column_steps.size(); ++j) columns_[j] = t.step * step_scale(t.column_steps[j]);
    for (const auto code : t.row_steps) row_steps_.push_back(step_scale(code));
  }
  const float* column_factors() const override { return columns_.data(); }
  void finish(std::int64_t r, MatrixView<const float> x, float* sums) const override {
    const auto cols = shape().cols;
    for (const auto& [place, delta] : corrections(r))
      for (std::int64_t t = 0; t < x.rows; ++t) {
        const auto column = place - r * cols;
        sums[t] += static_cast<float>(delta) * (x(t, column) * columns_[static_cast<std::size_t>(column)]);
      }
    if (row_steps_.empty()) return;
    for (std::int64_t t = 0; t < x.rows; ++t) sums[t] *= row_steps_[static_cast<std::size_t>(r)];
  }

 protected:
  virtual std::span<const Correction> corrections(std::int64_t r) const = 0;
  // Of codes that are points plus `zero`.
  std::vector<float> offsets(int zero) const {
    return std::vector<float>(static_cast<std::size_t>(shape().pieces()), static_cast<float>(zero));
  }
  PackedRow row(const std::byte* codes, const std::vector<float>& offsets) const {
    return {codes, ones_.data(), offsets.data()};
  }

 private:
  std::vector<float> columns_;    // [cols]
  std::vector<float> row_steps_;  // [rows] or empty
  std::vector<float> ones_;
};

class PackedTuples : public PackedSteps {
 public:
  PackedTuples(const CodedTensor& t, std::vector<std::byte> bytes)
      : PackedSteps(t, 8),
        bytes_(std::move(bytes)),
        reader_(bytes_, kCodedLevels),
        offsets_(offsets(reader_.code().zero_point())) {}

  void open(std::int64_t first, std::int64_t count, PackedTile& tile) const override {
    const auto stride = shape().cols + kByteStride;
    tile.codes.resize(static_cast<std::size_t>(count * stride));
    tile.rows.resize(static_cast<std::size_t>(count));
    reader_.decode_bytes(first, count, tile.codes.data(), stride);
    for (std::int64_t i = 0; i < count; ++i)
      tile.rows[static_cast<std::size_t>(i)] = row(std::as_bytes(std::span(tile.codes)).data() + i * stride, offsets_);
  }

  bool has_tuples() const override { return has_tuple_dot(); }
  void prepare(const float* x, TupleInputs& out) const override {
    pack_tuple_inputs(reader_.table(), x, column_factors(), reader_.code().zero_point(), out);
  }
  void multiply(std::int64_t first, std::int64_t count, const TupleInputs& in, float* sums) const override {
    if (const auto bad = tuple_dot(reader_.table(), reader_.row_starts(first), count, in, sums))
      reader_.fail_row(first + *bad);
  }

 private:
  std::span<const Correction> corrections(std::int64_t r) const override { return reader_.corrections(r, 1); }

  std::vector<std::byte> bytes_;
  TupleReader reader_;
  std::vector<float> offsets_;
};

// Points of a block of rows.
std::vector<std::int32_t> decode_points(const LevelReader& reader, std::int64_t block) {
  const auto first = block * kLevelBlockRows, count = std::min(kLevelBlockRows, reader.rows() - first);
  std::vector<std::int32_t> points(static_cast<std::size_t>(count * reader.cols()));
  reader.decode(first, count, points.data());
  return points;
}

std::int64_t block_count(const LevelReader& reader) { return (reader.rows() + kLevelBlockRows - 1) / kLevelBlockRows; }

// The fewest bits that hold nearly all points of a few blocks.
int bits_of(const LevelReader& reader) {
  std::int64_t outside[9] = {}, seen = 0;  // [bits]
  const auto blocks = block_count(reader), some = std::min<std::int64_t>(blocks, 4);
  for (std::int64_t i = 0; i < some; ++i)
    for (const auto point : decode_points(reader, i * blocks / some)) {
      ++seen;
      for (int bits = kLeastBits; bits < 8; ++bits)
        outside[bits] += point < -(1 << (bits - 1)) || point >= 1 << (bits - 1);
    }
  int bits = kLeastBits;
  while (bits < 8 && static_cast<double>(outside[bits]) > kMostOutside * static_cast<double>(seen)) ++bits;
  return bits;
}

class PackedPoints : public PackedSteps {
 public:
  PackedPoints(const CodedTensor& t, int bits)
      : PackedSteps(t, bits), row_bytes_(packed_row_bytes(t.cols, bits)), offsets_(offsets(1 << (bits - 1))) {
    codes_.resize(static_cast<std::size_t>(t.rows * row_bytes_ + kPackedPadding));
    std::vector<std::vector<Correction>> corrections(static_cast<std::size_t>(block_count(*t.levels)));
    parallel_for(std::ssize(corrections), [&](std::int64_t block) {
      const auto points = decode_points(*t.levels, block);
      pack(points, block * kLevelBlockRows, bits, corrections[static_cast<std::size_t>(block)]);
    });
    for (const auto& block : corrections)
      for (const auto& correction : block) corrections_.add(correction, t.cols);
    corrections_.finish(t.rows);
  }

  void open(std::int64_t first, std::int64_t count, PackedTile& tile) const override {
    tile.rows.resize(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i)
      tile.rows[static_cast<std::size_t>(i)] = row(codes_.data() + (first + i) * row_bytes_, offsets_);
  }

 private:
  std::span<const Correction> corrections(std::int64_t r) const override { return corrections_.rows(r, 1); }

  // Rows from `row` on; what they cannot hold goes to `corrections`.
  void pack(std::span<const std::int32_t> points, std::int64_t row, int bits, std::vector<Correction>& corrections) {
    const auto cols = static_cast<std::size_t>(shape().cols);
    const int half = 1 << (bits - 1);
    std::vector<std::uint8_t> codes(cols);
    for (std::size_t begin = 0; begin < points.size(); begin += cols, ++row) {
      for (std::size_t j = 0; j < cols; ++j) {
        const auto point = points[begin + j], held = std::clamp(point, -half, half - 1);
        codes[j] = static_cast<std::uint8_t>(held + half);
        if (held != point) corrections.push_back({row * shape().cols + static_cast<std::int64_t>(j), point - held});
      }
      pack_row(codes, bits, codes_.data() + row * row_bytes_);
    }
  }

  std::int64_t row_bytes_;
  std::vector<std::byte> codes_;
  RowCorrections corrections_;
  std::vector<float> offsets_;
};

}  // namespace

std::unique_ptr<PackedMatrix> pack_coded(const CodedTensor& tensor, CodedForm form) {
  if (form == CodedForm::expanded) return std::make_unique<PackedPoints>(tensor, bits_of(*tensor.levels));
  const auto& reader = *tensor.levels;
  const auto levels = decode_levels(reader);
  if (!fits_tuples(levels, tensor.cols)) return nullptr;
  const auto code = fit_tuple_code(levels, reader, kTableBits, kMaxTupleBits);
  return std::make_unique<PackedTuples>(tensor, encode_tuples(levels, tensor.cols, code, kCodedLevels));
}

}  // namespace nearplane
