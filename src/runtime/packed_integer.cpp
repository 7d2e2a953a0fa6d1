// Integer codes from the tensor's own bytes. Zero points are unpacked once, a byte for each group.
#include "runtime/packed_matrix.h"

namespace nearplane {
namespace {

class PackedInteger : public PackedMatrix {
 public:
  explicit PackedInteger(std::shared_ptr<const QuantizedTensor> tensor)
      : PackedMatrix(tensor->rows(),
                     PackedShape::stream(tensor->cols(), tensor->integer()->bits, tensor->integer()->group)),
        tensor_(std::move(tensor)),
        codes_(tensor_->integer()->codes, tensor_->integer()->row_bytes()) {
    const auto& t = *tensor_->integer();
    if (t.symmetric) return;
    zeros_.resize(static_cast<std::size_t>(t.rows * t.groups()));
    for (std::int64_t r = 0; r < t.rows; ++r) t.zeros_of_row(r, zeros_.data() + r * t.groups());
  }

  void open(std::int64_t first, std::int64_t count, PackedTile& tile) const override {
    const auto& t = *tensor_->integer();
    const auto group = first * t.groups();
    tile.open(shape(), count, t.scales.data() + group, t.symmetric ? nullptr : zeros_.data() + group, 1 << (t.bits - 1),
              [&](std::int64_t i) { return codes_.row(first + i); });
  }

 private:
  std::shared_ptr<const QuantizedTensor> tensor_;
  PackedCodes codes_;
  std::vector<std::uint8_t> zeros_;  // [rows][groups], empty if symmetric
};

}  // namespace

std::unique_ptr<PackedMatrix> pack_integer(std::shared_ptr<const QuantizedTensor> tensor) {
  if (!PackedShape::can_pack(tensor->cols(), tensor->integer()->group)) return nullptr;
  return std::make_unique<PackedInteger>(std::move(tensor));
}

}  // namespace nearplane
