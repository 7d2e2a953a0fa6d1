// ggml's blocks of 32 weights from the mapped file: Q4_0 and Q8_0.
#include "runtime/packed_matrix.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr int kZero = 8;  // of Q4_0; Q8_0 has signed bytes

class PackedBlocks : public PackedMatrix {
 public:
  PackedBlocks(const StoredTensor& tensor, CodeForm form)
      : PackedMatrix(tensor.shape[0], PackedShape::blocks(tensor.shape[1], form)),
        codes_(tensor.bytes, shape().pieces() * shape().piece_bytes),
        zero_(form == CodeForm::halves ? kZero : 0) {
    const auto n = shape().pieces();
    scales_.resize(static_cast<std::size_t>(rows() * n));
    for (std::int64_t i = 0; i < rows() * n; ++i)
      std::memcpy(&scales_[static_cast<std::size_t>(i)], tensor.bytes.data() + i * shape().piece_bytes,
                  sizeof(std::uint16_t));
  }

  void open(std::int64_t first, std::int64_t count, PackedTile& tile) const override {
    const auto n = shape().pieces();
    tile.widen(count, n, 1, scales_.data() + first * n, nullptr, zero_);
    for (std::int64_t i = 0; i < count; ++i) {
      auto& row = tile.rows[static_cast<std::size_t>(i)];
      row = tile.row(i, n, codes_.row(first + i));
      if (zero_ == 0) row.offsets = nullptr;
    }
  }

 private:
  PackedCodes codes_;
  int zero_;
  std::vector<std::uint16_t> scales_;  // [rows][blocks], gathered from the blocks
};

}  // namespace

std::unique_ptr<PackedMatrix> pack_blocks(const StoredTensor& tensor) {
  if (tensor.shape.size() != 2 || (tensor.dtype != DType::q4_0 && tensor.dtype != DType::q8_0)) return nullptr;
  return std::make_unique<PackedBlocks>(tensor,
                                        tensor.dtype == DType::q4_0 ? CodeForm::halves : CodeForm::signed_bytes);
}

}  // namespace nearplane
