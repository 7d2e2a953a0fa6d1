// Working memory that grows to the largest size a thread has asked for and stays with the thread: the same temporaries
// come back in every block, and fresh pages from the system would cost several percent of a forward pass.
#pragma once

#include <cstdint>

#include "tensor/matrix.h"

namespace nearplane {

/// One name per temporary; two uses of a name must not overlap in time on one thread.
enum class Scratch {
  panel,          // linear.cpp: decoded weights,
  decoded_rows,   //   rows on their way to bf16,
  rounded_input,  //   inputs rounded to bf16
  rotated_input,  // rotated_linear.cpp: inputs, or gradients at the outputs,
  rotated_sums,   //   and gradients at the rotated inputs
  packed_values,  // packed_linear.cpp: inputs,
  packed_scales,
  packed_sums,
  packed_products,  //   and products on their way to the outputs
  queries,
  keys,
  values,  // transformer.cpp: attend
  normed,
  attention,
  hidden,
  up,
  output,  //   the other stages; all of these in backward.cpp too,
  projected_queries,
  projected_keys,
  log_sums,
  middle,
  hidden_gradient,
  attention_gradient,
  query_gradient,
  key_gradient,
  value_gradient,  //   and these only there
  tile_queries,
  tile_scores,
  tile_sums,
  tile_maxima,
  tile_weights,  // attention.cpp, attention_backward.cpp
  tile_output_gradients,
  tile_score_gradients,  //   and only the latter
};

/// An uninitialised [rows, cols] matrix, valid until the next call with the same name on this thread.
template <class T, Scratch Name>
MatrixView<T> scratch(std::int64_t rows, std::int64_t cols) {
  thread_local Matrix<T> buffer;
  if (buffer.size() < rows * cols) {
    buffer = {};  // the old one first: never both
    buffer = Matrix<T>::uninitialized(1, rows * cols);
  }
  return {buffer.data(), rows, cols, cols};
}

}  // namespace nearplane
