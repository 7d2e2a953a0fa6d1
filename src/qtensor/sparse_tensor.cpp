#include "qtensor/sparse_tensor.h"

#include <algorithm>
#include <cassert>

#include "base/check.h"
#include "base/threads.h"
#include "codec/pack.h"
#include "qtensor/dequantize.h"
#include "tensor/half.h"

namespace nearplane {
namespace {

constexpr std::uint16_t kSign = 0x8000, kInfinity = 0x7c00;
constexpr std::int32_t kLargestCode = 32767;

float size_of(std::uint16_t scale) { return f16_to_f32(scale & static_cast<std::uint16_t>(~kSign)); }

// One row on its way into a SparseTensor.
class RowPacker {
 public:
  RowPacker(const SparseParts& parts, std::int64_t row, SparseTensor& out)
      : codes_(parts.codes.row(row), parts.codes.row(row) + parts.codes.cols), step_(parts.step.row(row)), out_(out) {
    for (const auto j : out.kept_columns) codes_[static_cast<std::size_t>(j)] = 0;
  }

  void run(std::int64_t row, std::vector<Overflow>& overflow) {
    dense_.resize(codes_.size());
    for (std::int64_t g = 0; g < out_.groups(); ++g) pack_group(g, out_.scales[row * out_.groups() + g], overflow);
    pack_row(dense_, out_.bits, out_.codes.data() + row * out_.row_bytes());
  }

 private:
  void pack_group(std::int64_t g, std::uint16_t& scale, std::vector<Overflow>& overflow) {
    const auto begin = g * out_.group, end = std::min(out_.cols, begin + out_.group);
    const int top = (1 << out_.bits) - 1, half = 1 << (out_.bits - 1);
    const auto at = [&](std::int32_t u) { return std::count(codes_.begin() + begin, codes_.begin() + end, u); };
    // The two ranges, -half .. half - 1 and 1 - half .. half, differ in two codes.
    scale = f32_to_f16(step_[g]);
    if (at(half) > at(-half)) scale |= kSign;
    const int zero = out_.zero(scale);
    for (auto j = begin; j < end; ++j) {
      const int code = codes_[static_cast<std::size_t>(j)] + zero, dense = std::clamp(code, 0, top);
      dense_[static_cast<std::size_t>(j)] = static_cast<std::uint8_t>(dense);
      if (code != dense) overflow.push_back({static_cast<std::int32_t>(j), code - dense});
    }
  }

  std::vector<std::int32_t> codes_;
  const float* step_;
  SparseTensor& out_;
  std::vector<std::uint8_t> dense_;
};

}  // namespace

std::int64_t SparseTensor::row_bytes() const { return packed_row_bytes(cols, bits); }

std::int64_t SparseTensor::stored_bytes() const {
  return std::ssize(codes) + 2 * std::ssize(scales) + std::ssize(overflow->counts()) + std::ssize(overflow->entries()) +
         4 * std::ssize(kept_columns) + 2 * std::ssize(kept);
}

double SparseTensor::overflow_share() const {
  std::vector<Overflow> listed;
  std::int64_t count = 0;
  for (std::int64_t r = 0; r < rows; ++r, listed.clear()) overflow->row(r, listed), count += std::ssize(listed);
  return static_cast<double>(count) / static_cast<double>(rows * cols);
}

void SparseTensor::validate(const std::string& where) const {
  if (rows < 1 || cols < 1) fail_input(where, "shape {} x {} is empty", rows, cols);
  if (bits < 2 || bits > 8) fail_input(where, "{} bits are outside 2 to 8", bits);
  if (group < 1 || group > cols) fail_input(where, "a group of {} columns in rows of {}", group, cols);
  const auto expect = [&](const char* what, std::size_t have, std::int64_t want) {
    if (static_cast<std::int64_t>(have) != want) fail_input(where, "{} has {} entries instead of {}", what, have, want);
  };
  expect("codes", codes.size(), rows * row_bytes());
  expect("scales", scales.size(), rows * groups());
  expect("kept", kept.size(), rows * std::ssize(kept_columns));
  for (std::size_t i = 0; i < scales.size(); ++i)
    if ((scales[i] & ~kSign) == 0 || (scales[i] & ~kSign) >= kInfinity)
      fail_input(where, "scale {} of row {} is {}: not finite and not 0 is asked for",
                 static_cast<std::int64_t>(i) % groups(), static_cast<std::int64_t>(i) / groups(),
                 f16_to_f32(scales[i]));
  for (std::size_t k = 0; k < kept_columns.size(); ++k)
    if (kept_columns[k] < 0 || kept_columns[k] >= cols || (k > 0 && kept_columns[k] <= kept_columns[k - 1]))
      fail_input(where, "kept column {} is {}: {} columns, ascending", k, kept_columns[k], cols);
  for (std::size_t i = 0; i < kept.size(); ++i)
    if ((kept[i] & ~kSign) >= kInfinity)
      fail_input(where, "kept weight {} of row {} is {}", i % kept_columns.size(), i / kept_columns.size(),
                 f16_to_f32(kept[i]));
  if (!overflow) fail_input(where, "has no list of codes beyond the range");
  if (overflow->rows() != rows) fail_input(where, "a list of {} rows instead of {}", overflow->rows(), rows);

  std::vector<std::uint8_t> dense(static_cast<std::size_t>(cols));
  std::vector<Overflow> listed;
  for (std::int64_t r = 0; r < rows; ++r) {
    unpack_row(codes.data() + r * row_bytes(), bits, dense);
    const auto zero_at = [&](std::int64_t j) { return zero(scales[r * groups() + j / group]); };
    for (const auto j : kept_columns)
      if (dense[static_cast<std::size_t>(j)] != zero_at(j))
        fail_input(where, "row {}, kept column {}: the dense code is {}, the zero point {}", r, j,
                   dense[static_cast<std::size_t>(j)], zero_at(j));
    listed.clear();
    overflow->row(r, listed);
    for (const auto& [column, delta] : listed) {
      if (column >= cols) fail_input(where, "row {} lists column {} of {}", r, column, cols);
      const int code = dense[static_cast<std::size_t>(column)], u = code + delta - zero_at(column);
      if (code != (delta > 0 ? (1 << bits) - 1 : 0) || u < -kLargestCode || u > kLargestCode)
        fail_input(where, "row {} lists {} beyond the dense code {} of column {}", r, delta, code, column);
    }
  }
}

void SparseTensor::decode_rows(std::int64_t r0, std::int64_t count, float* out) const {
  std::vector<std::uint8_t> dense(static_cast<std::size_t>(cols));
  std::vector<Overflow> listed;
  for (std::int64_t r = r0; r < r0 + count; ++r, out += cols) {
    const auto* scale = scales.data() + r * groups();
    unpack_row(codes.data() + r * row_bytes(), bits, dense);
    for (std::int64_t g = 0; g < groups(); ++g) {
      const auto begin = g * group;
      dequantize(dense.data() + begin, std::min(group, cols - begin), size_of(scale[g]),
                 static_cast<float>(zero(scale[g])), out + begin);
    }
    listed.clear();
    overflow->row(r, listed);
    for (const auto& [column, delta] : listed) {
      const auto s = scale[column / group];
      out[column] = size_of(s) * static_cast<float>(dense[static_cast<std::size_t>(column)] + delta - zero(s));
    }
    for (std::size_t k = 0; k < kept_columns.size(); ++k)
      out[kept_columns[k]] = f16_to_f32(kept[static_cast<std::size_t>(r) * kept_columns.size() + k]);
  }
}

SparseTensor pack_sparse(const SparseParts& parts, int bits, std::int64_t group) {
  SparseTensor t;
  t.rows = parts.codes.rows, t.cols = parts.codes.cols, t.bits = bits, t.group = group;
  assert(parts.step.rows == t.rows && parts.step.cols == t.groups());
  t.kept_columns = parts.kept_columns;
  for (std::int64_t r = 0; r < t.rows && !t.kept_columns.empty(); ++r)
    t.kept.insert(t.kept.end(), parts.kept.row(r), parts.kept.row(r) + parts.kept.cols);
  t.codes.resize(static_cast<std::size_t>(t.rows * t.row_bytes()));
  t.scales.resize(static_cast<std::size_t>(t.rows * t.groups()));
  std::vector<std::vector<Overflow>> overflow(static_cast<std::size_t>(t.rows));
  parallel_for(t.rows, [&](std::int64_t r) { RowPacker(parts, r, t).run(r, overflow[static_cast<std::size_t>(r)]); });
  t.overflow = SparseList::pack(overflow);
  return t;
}

}  // namespace nearplane
