// Dense codes from the tensor's own bytes; listed codes and kept columns are added row by row, from copies of four
// bytes an entry that need no bits read.
#include "runtime/packed_matrix.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr std::int64_t kMaxCols = 65536;

class PackedSparse : public PackedMatrix {
 public:
  explicit PackedSparse(std::shared_ptr<const QuantizedTensor> tensor)
      : PackedMatrix(tensor->rows(), PackedShape::stream(tensor->cols(), of(*tensor).bits, of(*tensor).group)),
        tensor_(std::move(tensor)),
        codes_(of(*tensor_).codes, of(*tensor_).row_bytes()) {
    const auto& t = of(*tensor_);
    std::vector<Overflow> listed;
    for (std::int64_t r = 0; r < t.rows; ++r, listed.clear()) {
      t.overflow->row(r, listed);
      for (const auto& [column, delta] : listed)
        entries_.push_back({static_cast<std::uint16_t>(column), static_cast<std::int16_t>(delta)});
      ends_.push_back(std::ssize(entries_));
    }
    for (const auto s : t.scales) {
      sizes_.push_back(s & 0x7fff);
      zeros_.push_back(static_cast<std::uint8_t>(t.zero(s)));
    }
    for (const auto k : t.kept) kept_.push_back(f16_to_f32(k));
  }

  void open(std::int64_t first, std::int64_t count, PackedTile& tile) const override {
    const auto group = first * of(*tensor_).groups();
    tile.open(shape(), count, sizes_.data() + group, zeros_.data() + group, 0,
              [&](std::int64_t i) { return codes_.row(first + i); });
  }

  void finish(std::int64_t r, MatrixView<const float> x, float* sums) const override {
    const auto& t = of(*tensor_);
    const auto* sizes = sizes_.data() + r * t.groups();
    const auto begin = r == 0 ? 0 : ends_[static_cast<std::size_t>(r - 1)], end = ends_[static_cast<std::size_t>(r)];
    for (auto e = begin; e < end; ++e) {
      const auto [column, delta] = entries_[static_cast<std::size_t>(e)];
      const float w = f16_to_f32(sizes[column / t.group]) * static_cast<float>(delta);
      for (std::int64_t i = 0; i < x.rows; ++i) sums[i] += w * x(i, column);
    }
    const auto kept = std::ssize(t.kept_columns);
    for (std::int64_t k = 0; k < kept; ++k)
      for (std::int64_t i = 0; i < x.rows; ++i)
        sums[i] += kept_[static_cast<std::size_t>(r * kept + k)] * x(i, t.kept_columns[static_cast<std::size_t>(k)]);
  }

 private:
  struct Entry {
    std::uint16_t column;
    std::int16_t delta;
  };
  static const SparseTensor& of(const QuantizedTensor& tensor) { return std::get<SparseTensor>(tensor.form); }

  std::shared_ptr<const QuantizedTensor> tensor_;
  PackedCodes codes_;
  std::vector<std::uint16_t> sizes_;  // [rows][groups], scales without their sign bits,
  std::vector<std::uint8_t> zeros_;   //   and the zero points the bits stand for
  std::vector<Entry> entries_;        // row after row,
  std::vector<std::int64_t> ends_;    //   the end of each [rows]
  std::vector<float> kept_;           // [rows][kept columns]
};

}  // namespace

std::unique_ptr<PackedMatrix> pack_sparse_codes(std::shared_ptr<const QuantizedTensor> tensor) {
  const auto& t = std::get<SparseTensor>(tensor->form);
  if (!PackedShape::can_pack(t.cols, t.group) || t.cols > kMaxCols) return nullptr;
  return std::make_unique<PackedSparse>(std::move(tensor));
}

}  // namespace nearplane
