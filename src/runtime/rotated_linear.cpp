#include "runtime/rotated_linear.h"

#include <algorithm>
#include <cassert>

#include "transformer/for_tokens.h"
#include "transformer/scratch.h"
#include "transformer/vector_ops.h"

namespace nearplane {
namespace {

class RotatedRows : public WeightRows {
 public:
  explicit RotatedRows(std::shared_ptr<const QuantizedTensor> tensor) : tensor_(std::move(tensor)) {}
  std::int64_t rows() const override { return tensor_->rows(); }
  std::int64_t cols() const override { return tensor_->cols(); }
  void decode(std::int64_t r0, std::int64_t count, float* out) const override {
    tensor_->rotated()->decode_rotated(r0, count, out);
  }

 private:
  std::shared_ptr<const QuantizedTensor> tensor_;
};

class RotatedLinear : public Linear {
 public:
  RotatedLinear(const RotatedTensor& tensor, std::unique_ptr<Linear> inner, std::vector<float> bias)
      : rotation_(tensor.rotations()), inner_(std::move(inner)), bias_(std::move(bias)) {
    assert(bias_.empty() || std::ssize(bias_) == out_features());
  }
  std::int64_t in_features() const override { return inner_->in_features(); }
  std::int64_t out_features() const override { return inner_->out_features(); }

  void apply(MatrixView<const float> x, MatrixView<float> y) const override {
    inner_->apply(rotated(x, rotation_.in), y);
    rotate_rows_back(rotation_.out, y);
    if (bias_.empty()) return;
    for_tokens(y.rows, [&](std::int64_t t) { add(y.row(t), bias_.data(), y.cols); });
  }

  void add_transposed(MatrixView<const float> dy, MatrixView<float> dx) const override {
    const auto sums = scratch<float, Scratch::rotated_sums>(dx.rows, dx.cols);
    std::fill_n(sums.data, dx.rows * dx.cols, 0.0f);
    inner_->add_transposed(rotated(dy, rotation_.out), sums);
    rotate_rows_back(rotation_.in, sums);
    for_tokens(dx.rows, [&](std::int64_t t) { add(dx.row(t), sums.row(t), dx.cols); });
  }

 private:
  static MatrixView<const float> rotated(MatrixView<const float> x, const Rotation& rotation) {
    const auto out = scratch<float, Scratch::rotated_input>(x.rows, x.cols);
    for_tokens(x.rows, [&](std::int64_t t) {
      std::copy_n(x.row(t), x.cols, out.row(t));
      rotation.apply(out.row(t));
    });
    return out;
  }

  RotatedTensor::Rotations rotation_;
  std::unique_ptr<Linear> inner_;
  std::vector<float> bias_;  // [out] or empty
};

}  // namespace

std::unique_ptr<Linear> make_rotated_linear(std::shared_ptr<const QuantizedTensor> tensor, std::vector<float> bias,
                                            Compute compute) {
  auto inner = make_linear(std::make_shared<RotatedRows>(tensor), {}, compute);
  return std::make_unique<RotatedLinear>(*tensor->rotated(), std::move(inner), std::move(bias));
}

}  // namespace nearplane
