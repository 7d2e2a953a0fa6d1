#include "codec/gap_code.h"

#include <cassert>

#include "base/check.h"
#include "codec/bit_stream.h"

namespace nearplane {
namespace {

constexpr int kGapBits = 6;
constexpr std::int64_t kMore = (1 << kGapBits) - 1;  // this many, and the gap goes on

}  // namespace

std::vector<std::byte> encode_gaps(MatrixView<const std::int32_t> columns) {
  BitWriter out;
  for (std::int64_t r = 0; r < columns.rows; ++r) {
    std::int64_t next = 0;
    for (std::int64_t k = 0; k < columns.cols; ++k) {
      auto gap = columns(r, k) - next;
      assert(gap >= 0);
      for (; gap >= kMore; gap -= kMore) out.put(static_cast<std::uint64_t>(kMore), kGapBits);
      out.put(static_cast<std::uint64_t>(gap), kGapBits);
      next = columns(r, k) + 1;
    }
  }
  return std::move(out).finish();
}

GapReader::GapReader(std::vector<std::byte> bytes, std::int64_t rows, std::int64_t cols, std::int64_t count,
                     const std::string& where)
    : bytes_(std::move(bytes)), cols_(cols), count_(count) {
  const auto symbols = 8 * std::ssize(bytes_) / kGapBits;
  std::int64_t at = 0;
  for (std::int64_t r = 0; r < rows; ++r) {
    starts_.push_back(at);
    std::int64_t column = -1;
    for (std::int64_t k = 0; k < count; ++k) {
      for (std::int64_t value = kMore; value == kMore;) {
        if (at == symbols) fail_input(where, "gaps end in row {}", r);
        value = symbol(at++);
        column += value;
      }
      if (++column >= cols) fail_input(where, "gaps leave the {} columns of row {}", cols, r);
    }
  }
  const auto want = (kGapBits * at + 7) / 8;
  if (std::ssize(bytes_) != want) fail_input(where, "gaps have {} bytes instead of {}", bytes_.size(), want);
  const auto unused = 8 * want - kGapBits * at;
  if (unused > 0 && std::to_integer<int>(bytes_.back()) >> (8 - unused) != 0)
    fail_input(where, "gaps end in bits that are not zero");
}

std::int64_t GapReader::symbol(std::int64_t at) const {
  const auto bit = kGapBits * at, byte = bit / 8;
  auto two = std::to_integer<std::uint32_t>(bytes_[byte]);
  if (byte + 1 < std::ssize(bytes_)) two |= std::to_integer<std::uint32_t>(bytes_[byte + 1]) << 8;
  return two >> (bit % 8) & kMore;
}

void GapReader::columns_of_row(std::int64_t r, std::int32_t* out) const {
  auto at = starts_[r];
  std::int64_t column = -1;
  for (std::int64_t k = 0; k < count_; ++k) {
    for (std::int64_t value = kMore; value == kMore;) column += value = symbol(at++);
    out[k] = static_cast<std::int32_t>(++column);
  }
}

}  // namespace nearplane
