// States of 32 bits kept in [2^16, 2^32), refilled by 16-bit words, one at most per symbol. Level i belongs to state
// i mod 4: four chains of arithmetic run beside each other. The encoder goes from the last level to the first.
#include "codec/rans.h"

#include <algorithm>
#include <cassert>

namespace nearplane {
namespace {

constexpr std::uint32_t kLowest = 1u << 16;  // the least state between symbols, and where the encoder begins

}  // namespace

class RansEncoder {
 public:
  RansEncoder() { states_.fill(kLowest); }

  void push(std::size_t i, std::int32_t level, const RansTable& table) {
    auto& state = states_[i % states_.size()];
    auto symbol = static_cast<std::uint64_t>(static_cast<std::int64_t>(level) - table.lowest_);
    if (symbol >= table.escape() || table.shares_[symbol].frequency == 0) {
      symbol = table.escape();
      push_raw(state, zigzag(level));
    }
    push(state, table.shares_[symbol].frequency, table.shares_[symbol].start, table.precision_);
  }
  std::vector<std::byte> finish() && {
    std::vector<std::byte> bytes;
    const auto put = [&](std::uint32_t value, int count) {
      for (int b = 0; b < count; ++b) bytes.push_back(static_cast<std::byte>(value >> (8 * b)));
    };
    bytes.reserve(4 * states_.size() + 2 * words_.size());
    for (const auto state : states_) put(state, 4);
    for (auto word = words_.rbegin(); word != words_.rend(); ++word) put(*word, 2);
    return bytes;
  }

 private:
  // Takes `frequency` of 2^precision slots from `start` on.
  void push(std::uint32_t& state, std::uint32_t frequency, std::uint32_t start, int precision) {
    if (state >= std::uint64_t{frequency} << (32 - precision)) {
      words_.push_back(static_cast<std::uint16_t>(state));
      state >>= 16;
    }
    state = (state / frequency << precision) + state % frequency + start;
  }
  // The number of bits as 6 bits, then the bits, read in parts of 11 from the lowest on.
  void push_raw(std::uint32_t& state, std::uint32_t value) {
    const int count = static_cast<int>(std::bit_width(value));
    for (int at = (count - 1) / 11 * 11; at >= 0 && count > 0; at -= 11) {
      const int part = std::min(11, count - at);
      push(state, 1, value >> at & ((1u << part) - 1), part);
    }
    push(state, 1, static_cast<std::uint32_t>(count), 6);
  }

  std::array<std::uint32_t, 4> states_;
  std::vector<std::uint16_t> words_;  // last to be read first
};

std::vector<std::byte> rans_encode(std::span<const std::int32_t> levels, std::span<const std::uint8_t> classes,
                                   std::span<const RansTable> tables) {
  assert(levels.size() == classes.size());
  RansEncoder encoder;
  for (auto i = levels.size(); i-- > 0;) encoder.push(i, levels[i], tables[classes[i]]);
  return std::move(encoder).finish();
}

RansDecoder::RansDecoder(std::span<const std::byte> bytes, std::span<const RansTable> tables, std::string where)
    : bytes_(bytes), tables_(tables), where_(std::move(where)) {
  if (bytes.size() < 4 * states_.size() || bytes.size() % 2 != 0)
    fail_input(where_, "{} bytes are no rANS stream", bytes.size());
  for (auto& state : states_) {
    state = 0;
    for (int b = 0; b < 4; ++b) state |= std::to_integer<std::uint32_t>(bytes_[at_++]) << (8 * b);
    if (state < kLowest) fail_input(where_, "state {} at byte {} is too small", state, at_ - 4);
  }
}

void RansDecoder::exhausted() const { fail_input(where_, "ends at byte {} within level {}", at_, turn_ - 1); }

std::uint32_t RansDecoder::raw(std::uint32_t& state, int count) {
  const auto value = state & ((1u << count) - 1);
  state >>= count;
  if (state < kLowest) refill(state);
  return value;
}

std::int32_t RansDecoder::escaped(std::uint32_t& state) {
  const auto count = static_cast<int>(raw(state, 6));
  if (count > 32) fail_input(where_, "level {} of {} bits before byte {}", turn_ - 1, count, at_);
  std::uint32_t value = 0;
  for (int at = 0; at < count; at += 11) value |= raw(state, std::min(11, count - at)) << at;
  return unzigzag(value);
}

void RansDecoder::finish() const {
  if (at_ != bytes_.size()) fail_input(where_, "has {} bytes after its last level", bytes_.size() - at_);
  for (const auto state : states_)
    if (state != kLowest) fail_input(where_, "ends in state {} instead of {}", state, kLowest);
}

}  // namespace nearplane
