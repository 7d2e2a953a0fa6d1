// Entropy-coded levels in two forms made at load, since rANS streams of the file decode one after the other: code words
// of tuples, which any row can be decoded from a table probe at a time (codec/tuple_stream.h), or a byte for each
// point. Steps of columns go into the activations, steps of rows into the sums; a point that no byte holds is
// corrected.
#include <bit>
#include <cstdlib>

#include "base/threads.h"
#include "codec/tuple_stream.h"
#include "runtime/packed_matrix.h"

namespace nearplane {
namespace {

constexpr std::int64_t kByteStride = 128;  // behind a row of decoded bytes: room for kPackedPadding and tuples
constexpr std::int64_t kFitLevels = 1 << 17;
constexpr double kSlack = 0.02;  // of bits, for tuples that decode faster
constexpr int kTableBits = 13;   // of the tables of all states together: 32 KB stay near the core

const std::string kWhere = "levels in memory";

class PackedSteps : public PackedMatrix {
 public:
  explicit PackedSteps(const CodedTensor& t)
      : PackedMatrix(t.rows, PackedShape::stream(t.cols, 8, t.cols)),
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
  // Offsets of rows whose bytes are points plus `zero`.
  std::vector<float> offsets(int zero) const {
    return std::vector<float>(static_cast<std::size_t>(shape().pieces()), static_cast<float>(zero));
  }
  PackedRow row(const std::uint8_t* bytes, const std::vector<float>& offsets) const {
    return {reinterpret_cast<const std::byte*>(bytes), ones_.data(), offsets.data()};
  }

 private:
  std::vector<float> columns_;    // [cols]
  std::vector<float> row_steps_;  // [rows] or empty
  std::vector<float> ones_;
};

class PackedTuples : public PackedSteps {
 public:
  PackedTuples(const CodedTensor& t, std::vector<std::byte> bytes)
      : PackedSteps(t),
        bytes_(std::move(bytes)),
        reader_(bytes_, kWhere),
        offsets_(offsets(reader_.code().zero_point())) {}

  void open(std::int64_t first, std::int64_t count, PackedTile& tile) const override {
    const auto stride = shape().cols + kByteStride;
    tile.codes.resize(static_cast<std::size_t>(count * stride));
    tile.rows.resize(static_cast<std::size_t>(count));
    reader_.decode_bytes(first, count, tile.codes.data(), stride);
    for (std::int64_t i = 0; i < count; ++i)
      tile.rows[static_cast<std::size_t>(i)] = row(tile.codes.data() + i * stride, offsets_);
  }

 private:
  std::span<const Correction> corrections(std::int64_t r) const override { return reader_.corrections(r, 1); }

  std::vector<std::byte> bytes_;
  TupleReader reader_;
  std::vector<float> offsets_;
};

class PackedBytes : public PackedSteps {
 public:
  explicit PackedBytes(const CodedTensor& t) : PackedSteps(t), stride_(t.cols), offsets_(offsets(kZero)) {
    bytes_.resize(static_cast<std::size_t>(t.rows * stride_ + kPackedPadding));
    std::vector<std::vector<Correction>> corrections((static_cast<std::size_t>(t.rows) + kLevelBlockRows - 1) /
                                                     kLevelBlockRows);
    parallel_for(std::ssize(corrections), [&](std::int64_t block) {
      const auto first = block * kLevelBlockRows, count = std::min(kLevelBlockRows, t.rows - first);
      std::vector<std::int32_t> points(static_cast<std::size_t>(count * t.cols));
      t.levels->decode(first, count, points.data());
      for (std::size_t i = 0; i < points.size(); ++i) {
        const auto held = std::clamp(points[i], -kZero, 255 - kZero);
        const auto place = first * t.cols + static_cast<std::int64_t>(i);
        bytes_[static_cast<std::size_t>(place)] = static_cast<std::uint8_t>(held + kZero);
        if (held != points[i]) corrections[static_cast<std::size_t>(block)].push_back({place, points[i] - held});
      }
    });
    for (const auto& block : corrections) corrections_.insert(corrections_.end(), block.begin(), block.end());
  }

  void open(std::int64_t first, std::int64_t count, PackedTile& tile) const override {
    tile.rows.resize(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i)
      tile.rows[static_cast<std::size_t>(i)] = row(bytes_.data() + (first + i) * stride_, offsets_);
  }

 private:
  static constexpr int kZero = 128;
  std::span<const Correction> corrections(std::int64_t r) const override {
    const auto from = [&](std::int64_t place) {
      return std::lower_bound(corrections_.begin(), corrections_.end(), place,
                              [](const Correction& c, std::int64_t p) { return c.place < p; });
    };
    return {from(r * shape().cols), from((r + 1) * shape().cols)};
  }

  std::int64_t stride_;
  std::vector<std::uint8_t> bytes_;
  std::vector<Correction> corrections_;  // by place
  std::vector<float> offsets_;
};

std::vector<std::int32_t> decode_levels(const LevelReader& reader) {
  const auto rows = reader.rows(), cols = reader.cols();
  std::vector<std::int32_t> levels(static_cast<std::size_t>(rows * cols));
  parallel_for((rows + kLevelBlockRows - 1) / kLevelBlockRows, [&](std::int64_t block) {
    const auto first = block * kLevelBlockRows;
    reader.decode_levels(first, std::min(kLevelBlockRows, rows - first), levels.data() + first * cols);
  });
  return levels;
}

// A code fitted to some rows, evenly taken, which costs nothing next to a fit to all.
TupleCode fit_code(std::span<const std::int32_t> levels, const LevelReader& reader) {
  const auto rows = reader.rows(), cols = reader.cols();
  const auto taken = std::clamp<std::int64_t>(kFitLevels / cols, 1, rows);
  std::vector<std::int32_t> some;
  for (std::int64_t i = 0; i < taken; ++i) {
    const auto row = levels.subspan(static_cast<std::size_t>(i * rows / taken * cols), static_cast<std::size_t>(cols));
    some.insert(some.end(), row.begin(), row.end());
  }
  const int states = reader.trellis().states;
  const int bits = std::min(kMaxTupleBits, kTableBits - std::countr_zero(static_cast<unsigned>(states)));
  return best_tuple_code(some, cols, reader.trellis(), static_cast<int>(reader.restart()), bits, kSlack, kWhere);
}

}  // namespace

std::unique_ptr<PackedMatrix> pack_coded(const CodedTensor& tensor, CodedForm form) {
  if (form == CodedForm::expanded) return std::make_unique<PackedBytes>(tensor);
  const auto& reader = *tensor.levels;
  const auto levels = decode_levels(reader);
  const auto big = [](std::int32_t z) { return std::abs(z) > kMaxTupleLevel; };
  if (tensor.cols > kMaxTupleCols || std::any_of(levels.begin(), levels.end(), big)) return nullptr;
  return std::make_unique<PackedTuples>(tensor, encode_tuples(levels, tensor.cols, fit_code(levels, reader), kWhere));
}

}  // namespace nearplane
