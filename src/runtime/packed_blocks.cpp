// ggml's blocks of 32 weights from the mapped file: Q4_0, Q4_1 and Q8_0. Their 16-bit scales, and minimums of Q4_1, are
// copied side by side, one or two bytes for sixteen weights.
#include "runtime/packed_matrix.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr int kZero = 8;  // of Q4_0; Q8_0 has signed bytes, Q4_1 minimums
constexpr int kNumber = sizeof(std::uint16_t);

class PackedBlocks : public PackedMatrix {
 public:
  PackedBlocks(const StoredTensor& tensor, std::vector<std::int64_t> stored_rows)
      : PackedMatrix(tensor.shape[0], shape_of(tensor)),
        stored_rows_(std::move(stored_rows)),
        codes_(tensor.bytes, shape().pieces() * shape().piece_bytes),
        zero_(tensor.dtype == DType::q4_0 ? kZero : 0) {
    const auto gather = [&](int at) {
      std::vector<std::uint16_t> out;
      for (std::int64_t r = 0; r < rows(); ++r)
        for (std::int64_t p = 0; p < shape().pieces(); ++p)
          std::memcpy(&out.emplace_back(), codes_.row(stored_row(r)) + p * shape().piece_bytes + at, kNumber);
      return out;
    };
    scales_ = gather(0);
    if (tensor.dtype == DType::q4_1) minimums_ = gather(kNumber);
  }

  void open(std::int64_t first, std::int64_t count, PackedTile& tile) const override {
    const auto n = shape().pieces();
    tile.open(shape(), count, scales_.data() + first * n, nullptr, zero_,
              [&](std::int64_t i) { return codes_.row(stored_row(first + i)); });
    if (!minimums_.empty())
      for (std::int64_t i = 0; i < count * n; ++i)
        tile.offsets[static_cast<std::size_t>(i)] = -f16_to_f32(minimums_[static_cast<std::size_t>(first * n + i)]);
    else if (zero_ == 0)
      for (auto& row : tile.rows) row.offsets = nullptr;
  }

 private:
  static PackedShape shape_of(const StoredTensor& tensor) {
    return PackedShape::blocks(tensor.shape[1], tensor.dtype == DType::q8_0 ? CodeForm::signed_bytes : CodeForm::halves,
                               tensor.dtype == DType::q4_1 ? 2 * kNumber : kNumber);
  }
  std::int64_t stored_row(std::int64_t r) const {
    return stored_rows_.empty() ? r : stored_rows_[static_cast<std::size_t>(r)];
  }

  std::vector<std::int64_t> stored_rows_;  // [rows] or empty: in order
  PackedCodes codes_;
  int zero_;
  std::vector<std::uint16_t> scales_, minimums_;  // [rows][blocks]; minimums only of Q4_1
};

}  // namespace

std::unique_ptr<PackedMatrix> pack_blocks(const StoredTensor& tensor, std::vector<std::int64_t> stored_rows) {
  const auto type = tensor.dtype;
  if (tensor.shape.size() != 2 || (type != DType::q4_0 && type != DType::q4_1 && type != DType::q8_0)) return nullptr;
  return std::make_unique<PackedBlocks>(tensor, std::move(stored_rows));
}

}  // namespace nearplane
