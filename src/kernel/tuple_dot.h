// One token times rows of tuple code words, without decoding them into memory: sixteen rows stand in the lanes of a
// vector, a gather probes the table for each, and the entry it finds is multiplied as it is with the activations of the
// tuple: its length and state meet zeros. Some instructions for 16 k weights, where a loop over rows needs as many for
// k.
//
// Activations are integers of 16 bits as in packed_dot(), in two bytes; one scale for each piece of kTuplePiece tuples,
// whose sums are exact. AVX-512 with VNNI and VBMI2 only: gathers of other machines gain nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "codec/tuple_decode.h"

namespace nearplane {

/// Whether tuple_dot() may be called: whether the vector target in use has it.
bool has_tuple_dot();

/// A token as tuple_dot() takes it.
struct TupleInputs {
  std::vector<std::int32_t> high, low;            // [tuples]: a byte where the entry has the point
  std::vector<float> scales;                      // [pieces]
  std::vector<std::int32_t> high_zero, low_zero;  // [pieces]: minus what zero points add up to
};

/// x[cols], multiplied by factor[cols] if that is not nullptr. Points are stored plus `zero`. Numbers that are not
/// finite make NaN of the scale.
void pack_tuple_inputs(const TupleTable& table, const float* x, const float* factor, int zero, TupleInputs& out);

/// sums[r] = sum over columns of point x, of rows as decode_tuple_rows() takes them. Returns the first row whose words
/// do not end where the next begins.
std::optional<std::int64_t> tuple_dot(const TupleTable& table, const std::uint64_t* starts, std::int64_t rows,
                                      const TupleInputs& in, float* sums);

}  // namespace nearplane
