// Integers in close to their ideal code length, for files at rest: range asymmetric numeral systems with one static
// table per class of symbols. Levels of any 32-bit size: the common ones have slots in the table, the others follow an
// escape in the same stream. docs/formats/streams.md has the bytes.
// Source: Duda, Asymmetric numeral systems (arXiv 1311.2540); Giesen, Interleaved entropy coders (arXiv 1402.3392).
// Cost: a division per level to encode, two dependent lookups to decode; 0.001 bit per level over the ideal length,
// 16 bytes per stream, about 6 bits per level of the alphabet and class for tables.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "codec/bit_stream.h"

namespace nearplane {

inline constexpr int kMaxRansClasses = 64;

/// How often each level occurs.
using LevelCounts = std::map<std::int32_t, std::uint64_t>;

/// The frequencies of one class in slots, 2^12 of them or, for long tails, 2^14. Any level can be coded with any table.
class RansTable {
 public:
  /// Fitted to counts; they may be empty.
  explicit RansTable(const LevelCounts& counts);
  /// Throws Error{bad_input} with the offset if the bits are no table.
  explicit RansTable(BitReader& in);
  void write(BitWriter& out) const;
  /// Length of a level's code, in bits.
  double bits(std::int32_t level) const;

 private:
  friend class RansEncoder;
  friend class RansDecoder;
  struct Share {
    std::uint16_t frequency, start;  // slots of a symbol: how many, the first
  };
  void apportion();
  std::size_t escape() const { return shares_.size() - 1; }

  int precision_ = 12;                  // log2 of the number of slots
  std::int32_t lowest_ = 0;             // level of symbol 0
  std::vector<std::uint16_t> weights_;  // [symbols], rounded counts as stored; the last symbol is the escape
  std::vector<Share> shares_;           // [symbols]
  std::vector<std::uint16_t> symbols_;  // [2^precision], the symbol of each slot
};

/// The tables of all classes with version and checks; at most kMaxRansClasses.
std::vector<std::byte> write_rans_tables(std::span<const RansTable> tables);
std::vector<RansTable> read_rans_tables(std::span<const std::byte> bytes, const std::string& where);

/// One stream: levels[i] coded with tables[classes[i]].
std::vector<std::byte> rans_encode(std::span<const std::int32_t> levels, std::span<const std::uint8_t> classes,
                                   std::span<const RansTable> tables);

/// Decodes one stream level by level, so that the class of a level may depend on the levels before it. Never reads
/// outside `bytes`. Keeps references to bytes and tables.
class RansDecoder {
 public:
  /// Throws Error{bad_input} naming `where` if the bytes cannot be a stream.
  RansDecoder(std::span<const std::byte> bytes, std::span<const RansTable> tables, std::string where);

  /// The next level, coded with tables[cls]; throws Error{bad_input} with the offset if the stream is exhausted.
  std::int32_t next(std::size_t cls) {
    auto& state = states_[turn_++ % states_.size()];
    const auto& table = tables_[cls];
    const auto slot = state & ((1u << table.precision_) - 1);
    const auto symbol = table.symbols_[slot];
    const auto share = table.shares_[symbol];
    state = share.frequency * (state >> table.precision_) + slot - share.start;
    if (state < 1u << 16) refill(state);
    if (symbol == table.escape()) return escaped(state);
    return table.lowest_ + symbol;
  }
  /// Throws Error{bad_input} unless the stream ends here as its encoder began it.
  void finish() const;

 private:
  void refill(std::uint32_t& state) {
    if (at_ == bytes_.size()) exhausted();
    state = state << 16 | std::to_integer<std::uint32_t>(bytes_[at_]) |
            std::to_integer<std::uint32_t>(bytes_[at_ + 1]) << 8;
    at_ += 2;
  }
  [[noreturn]] void exhausted() const;
  std::int32_t escaped(std::uint32_t& state);
  std::uint32_t raw(std::uint32_t& state, int count);

  std::span<const std::byte> bytes_;
  std::span<const RansTable> tables_;
  std::string where_;
  std::size_t at_ = 0;  // byte
  std::size_t turn_ = 0;
  std::array<std::uint32_t, 4> states_;
};

}  // namespace nearplane
