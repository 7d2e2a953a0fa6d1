// Rows of a tuple stream to bytes: the loop around TupleCore, compiled for several instruction sets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace nearplane {

inline constexpr std::int64_t kTupleSlack = 5;  // bytes that the last tuple of a row and the last write may reach over

/// What all rows share.
struct TupleTable {
  int k, bits, states;
  std::int64_t restart, cols;        // restart = 0: never
  const std::uint32_t* entries;      // [states][2^bits]
  std::span<const std::byte> words;  // code words, then 8 bytes that may be fetched with them
};

/// Rows that begin at bits starts[0 ... rows) and end where the next begins, starts[rows] included, to out, `stride`
/// bytes apart, at least cols + kTupleSlack. Returns the first row whose words do not end there.
std::optional<std::int64_t> decode_tuple_rows(const TupleTable& table, const std::uint64_t* starts, std::int64_t rows,
                                              std::uint8_t* out, std::int64_t stride);

}  // namespace nearplane
