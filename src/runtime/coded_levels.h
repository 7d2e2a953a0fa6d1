// Levels of entropy-coded layers on their way into code words of tuples, at load.
#pragma once

#include <string>
#include <vector>

#include "codec/level_stream.h"
#include "codec/tuple_code.h"

namespace nearplane {

inline const std::string kCodedLevels = "levels in memory";  // named in errors

/// All levels [rows, cols]. Uses all threads; throws Error{bad_input} for damaged streams.
std::vector<std::int32_t> decode_levels(const LevelReader& reader);

/// Whether tuples have room for them: at most kMaxTupleCols columns, levels up to kMaxTupleLevel.
bool fits_tuples(std::span<const std::int32_t> levels, std::int64_t cols);

/// A code fitted to some rows, evenly taken, which costs nothing next to a fit to all. Tables of all states together
/// have at most 2^table_bits entries, words at most `most_bits` bits.
TupleCode fit_tuple_code(std::span<const std::int32_t> levels, const LevelReader& reader, int table_bits,
                         int most_bits);

}  // namespace nearplane
