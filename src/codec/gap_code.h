// Some columns of every row, as many in each, stored as the gaps between them: index coding.
// Problem: a gap of g columns that are not among them, counted from the one before or the start of the row, is
//   floor(g / 63) symbols of 63 and one symbol g mod 63, six bits each; all rows are one bit stream.
// Source: Li et al., ICQuant, arXiv 2505.00850. Cost: where one column in 20 is chosen at random, .31 bits a column.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/matrix.h"

namespace nearplane {

/// columns [m, k], ascending in each row.
std::vector<std::byte> encode_gaps(MatrixView<const std::int32_t> columns);

class GapReader {
 public:
  /// `count` columns in each of `rows` rows of `cols`. Reads the stream through once: Error{bad_input} at `where` if a
  /// row leaves its columns or the stream is not as long as it should be.
  GapReader(std::vector<std::byte> bytes, std::int64_t rows, std::int64_t cols, std::int64_t count,
            const std::string& where);
  std::int64_t rows() const { return static_cast<std::int64_t>(starts_.size()); }
  std::int64_t cols() const { return cols_; }
  std::int64_t count() const { return count_; }
  const std::vector<std::byte>& bytes() const { return bytes_; }
  /// Columns of row r, ascending, to out[count].
  void columns_of_row(std::int64_t r, std::int32_t* out) const;

 private:
  std::int64_t symbol(std::int64_t at) const;

  std::vector<std::byte> bytes_;
  std::int64_t cols_, count_;
  std::vector<std::int64_t> starts_;  // [rows] first symbol
};

}  // namespace nearplane
