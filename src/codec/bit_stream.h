// Bits least significant first: bit i of a stream is bit i mod 8 of byte i div 8. For tables, indices and code words.
// Integers of unknown size as Elias' gamma code (IEEE Trans. Inform. Theory 21, 1975): v >= 1 takes 2 floor(log2 v)
// + 1.
#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace nearplane {

/// 0, -1, 1, -2, 2, ... as 0, 1, 2, 3, 4, ...
constexpr std::uint32_t zigzag(std::int32_t v) {
  return static_cast<std::uint32_t>(v) << 1 ^ static_cast<std::uint32_t>(v >> 31);
}
constexpr std::int32_t unzigzag(std::uint32_t v) { return static_cast<std::int32_t>(v >> 1 ^ (0u - (v & 1))); }

/// Length of the gamma code of value >= 1.
constexpr int gamma_bits(std::uint32_t value) { return 2 * static_cast<int>(std::bit_width(value)) - 1; }

class BitWriter {
 public:
  /// Appends the low `count` bits of `value`, 0 <= count <= 32; the others must be zero.
  void put(std::uint64_t value, int count) {
    assert(count >= 0 && count <= 32 && value >> count == 0);
    pending_ |= value << fill_;
    for (fill_ += count; fill_ >= 8; fill_ -= 8, pending_ >>= 8) bytes_.push_back(static_cast<std::byte>(pending_));
  }
  /// Appends value >= 1: as many zeros as it has bits after its first, a one, then those bits.
  void put_gamma(std::uint32_t value) {
    assert(value >= 1);
    const int n = std::bit_width(value) - 1;
    put(1ull << n, n + 1);
    put(value ^ (1u << n), n);
  }
  std::uint64_t bits() const { return 8 * bytes_.size() + static_cast<std::uint64_t>(fill_); }
  /// The stream, filled up with zeros to a whole byte.
  std::vector<std::byte> finish() && {
    if (fill_ > 0) bytes_.push_back(static_cast<std::byte>(pending_));
    return std::move(bytes_);
  }

 private:
  std::vector<std::byte> bytes_;
  std::uint64_t pending_ = 0;
  int fill_ = 0;  // bits in pending_, below 8 between calls
};

class BitReader {
 public:
  BitReader(std::span<const std::byte> bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  /// The next `count` bits, 0 <= count <= 32; throws Error{bad_input} with the offset if there are fewer.
  std::uint32_t get(int count) {
    if (static_cast<std::uint64_t>(count) > 8 * bytes_.size() - at_)
      fail_input(where_, "ends within {} bits at bit {}", count, at_);
    std::uint64_t value = 0;
    for (int got = 0; got < count;) {
      const int shift = static_cast<int>(at_ % 8), take = std::min(8 - shift, count - got);
      value |= (std::to_integer<std::uint64_t>(bytes_[at_ / 8]) >> shift & ((1u << take) - 1)) << got;
      got += take, at_ += static_cast<std::uint64_t>(take);
    }
    return static_cast<std::uint32_t>(value);
  }
  std::uint32_t get_gamma() {
    int n = 0;
    while (get(1) == 0)
      if (++n == 32) fail_input(where_, "holds a number of more than 32 bits before bit {}", at_);
    return 1u << n | get(n);
  }
  /// Throws unless only the zeros that fill the last byte are left.
  void finish() {
    const auto left = 8 * bytes_.size() - at_;
    if (left >= 8 || get(static_cast<int>(left)) != 0)
      fail_input(where_, "should end at bit {} of {}", at_, 8 * bytes_.size());
  }
  std::uint64_t at() const { return at_; }
  std::uint64_t left() const { return 8 * bytes_.size() - at_; }
  const std::string& where() const { return where_; }

 private:
  std::span<const std::byte> bytes_;
  std::string where_;
  std::uint64_t at_ = 0;
};

}  // namespace nearplane
