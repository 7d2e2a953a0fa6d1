#include "transformer/head_rotation.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "model/rope.h"
#include "transformer/for_tokens.h"
#include "transformer/vector_ops.h"

namespace nearplane {

// Angles in double, which hold position x frequency exactly enough at any context length.
HeadRotation::HeadRotation(const ModelConfig& config, std::vector<std::int64_t> positions)
    : head_dim_(config.head_dim), rms_eps_(config.rms_eps), positions_(std::move(positions)) {
  const auto [low, high] = std::ranges::minmax(positions_);
  first_ = low;
  cos_ = Matrix<float>::uninitialized(high + 1 - low, head_dim_ / 2);
  sin_ = Matrix<float>::uninitialized(high + 1 - low, head_dim_ / 2);
  minus_sin_ = Matrix<float>::uninitialized(high + 1 - low, head_dim_ / 2);
  const auto frequencies = rope_frequencies(head_dim_, config.rope_theta, config.rope_scaling);
  for_tokens(cos_.rows(), [&](std::int64_t p) {
    for (std::int64_t i = 0; i < cos_.cols(); ++i) {
      const double angle = static_cast<double>(first_ + p) * frequencies[static_cast<std::size_t>(i)];
      cos_(p, i) = static_cast<float>(std::cos(angle));
      sin_(p, i) = static_cast<float>(std::sin(angle));
      minus_sin_(p, i) = -sin_(p, i);
    }
  });
}

void HeadRotation::apply(std::span<const float> norm, MatrixView<float> x) const {
  assert(x.rows == std::ssize(positions_) && x.cols % head_dim_ == 0);
  for_tokens(x.rows, [&](std::int64_t t) {
    for (float* head = x.row(t); head < x.row(t) + x.cols; head += head_dim_) {
      if (!norm.empty()) rms_norm_row(head, norm.data(), head_dim_, rms_eps_, head);
      rotate_halves(head, cos_.row(row_of(t)), sin_.row(row_of(t)), head_dim_ / 2);
    }
  });
}

void HeadRotation::apply_backward(std::span<const float> norm, MatrixView<const float> x, MatrixView<float> dy) const {
  assert(dy.rows == std::ssize(positions_) && dy.cols % head_dim_ == 0);
  for_tokens(dy.rows, [&](std::int64_t t) {
    for (std::int64_t c = 0; c < dy.cols; c += head_dim_) {
      rotate_halves(dy.row(t) + c, cos_.row(row_of(t)), minus_sin_.row(row_of(t)), head_dim_ / 2);
      if (!norm.empty()) rms_norm_row_backward(x.row(t) + c, norm.data(), head_dim_, rms_eps_, dy.row(t) + c);
    }
  });
}

}  // namespace nearplane
