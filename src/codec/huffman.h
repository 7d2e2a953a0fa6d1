// Prefix codes of bounded length: the lengths that spend the fewest bits on given counts, canonical codes from lengths,
// and the table that decodes them with one probe.
// Lengths by package-merge (Larmore and Hirschberg, J. ACM 37, 1990): n symbols, O(n limit) after sorting.
//
// An alphabet of one symbol gets the length 0, so that the Kraft sum of a code, sum 2^-length, is 1 without exception.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace nearplane {

inline constexpr int kLongestCode = 15;

/// Lengths [n] of an optimal prefix code for symbols that occur counts[i] >= 1 times (2^58 in all at most), none longer
/// than `limit` <= kLongestCode; 1 <= n <= 2^limit. Among equal counts the later symbol gets the shorter code.
std::vector<std::uint8_t> huffman_lengths(std::span<const std::uint64_t> counts, int limit);

/// Throws Error{bad_input} naming `where` unless the lengths are those of a complete code: at least one symbol, none
/// longer than `limit`, Kraft sum exactly 1.
void check_huffman(std::span<const std::uint8_t> lengths, int limit, const std::string& where);

/// Canonical codes [n] of a complete code: ascending by (length, symbol) when read from the first bit on. Bit 0 of a
/// code is its first bit, so that a decoder looks at `window & mask` of a stream that is least significant bit first.
std::vector<std::uint16_t> huffman_codes(std::span<const std::uint8_t> lengths);

/// The symbol that each window of `limit` bits starts with, [2^limit].
std::vector<std::uint16_t> huffman_windows(std::span<const std::uint8_t> lengths, int limit);

}  // namespace nearplane
