// Hostile bytes for the decoders of docs/formats/streams.md and the sparse lists of store.md: an Error is the only way
// out besides success. The first byte chooses the format; for rANS the next two are the size of the tables, what
// follows them is the stream; for lists the next two are layout and number of rows, counts and entries follow.
#include <cstddef>
#include <cstdint>
#include <span>

#include "codec/level_stream.h"
#include "codec/rans.h"
#include "codec/tuple_stream.h"
#include "kernel/tuple_dot.h"
#include "nearplane/error.h"
#include "qtensor/sparse_list.h"

namespace {

using namespace nearplane;

void multiply_tuples(const TupleReader& reader, std::int64_t rows) {
  const std::vector<float> x(static_cast<std::size_t>(reader.cols()), 1.0f);
  std::vector<float> sums(static_cast<std::size_t>(rows));
  TupleInputs in;
  pack_tuple_inputs(reader.table(), x.data(), nullptr, reader.code().zero_point(), in);
  tuple_dot(reader.table(), reader.row_starts(0), rows, in, sums.data());
}

void decode_tuples(std::span<const std::byte> bytes) {
  const TupleReader reader(bytes, "fuzz");
  // Words of no bits make large matrices of small files: a real caller knows the shape it expects.
  constexpr std::int64_t kPoints = 1 << 20;
  const auto rows = std::min(reader.rows(), kPoints / reader.cols());
  std::vector<std::int16_t> points(static_cast<std::size_t>(rows * reader.cols()));
  if (has_tuple_dot()) multiply_tuples(reader, rows);
  reader.decode(0, rows, points.data());
  reader.decode(reader.rows() - rows, rows, points.data());
}

void decode_rans(std::span<const std::byte> bytes) {
  const auto size = std::to_integer<std::size_t>(bytes[0]) << 8 | std::to_integer<std::size_t>(bytes[1]);
  bytes = bytes.subspan(2);
  const auto split = std::min(size, bytes.size());
  const auto tables = read_rans_tables(bytes.first(split), "fuzz");
  RansDecoder decoder(bytes.subspan(split), tables, "fuzz");
  for (std::uint32_t level = 0, i = 0; i < 4096; ++i)
    level = static_cast<std::uint32_t>(decoder.next(level % tables.size()));
  decoder.finish();
}

void decode_levels(std::span<const std::byte> bytes) {
  constexpr std::int64_t kColumns = 40;
  const LevelReader reader({bytes.begin(), bytes.end()}, std::vector<int>(kColumns, 64), "fuzz");
  std::vector<std::int32_t> points(static_cast<std::size_t>(kColumns * kLevelBlockRows));
  for (std::int64_t i = 0; i < reader.rows(); i += kLevelBlockRows)
    reader.decode(i, std::min(kLevelBlockRows, reader.rows() - i), points.data());
}

void decode_list(std::span<const std::byte> bytes) {
  constexpr std::int64_t kColumns = 40;
  const auto sizes = std::to_integer<int>(bytes[0]), rows = std::to_integer<int>(bytes[1]);
  const SparseList::Layout layout{.gap_bits = 2 + sizes % 4, .delta_bits = 1 + sizes / 4 % 4, .count_bits = sizes / 16};
  bytes = bytes.subspan(2);
  const auto split = std::min(static_cast<std::size_t>((rows * layout.count_bits + 7) / 8), bytes.size());
  const SparseList list(layout, rows, kColumns, {bytes.begin(), bytes.begin() + static_cast<long>(split)},
                        {bytes.begin() + static_cast<long>(split), bytes.end()}, "fuzz");
  std::vector<Overflow> codes;
  for (std::int64_t r = 0; r < rows; ++r) list.row(r, codes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  if (size < 3) return 0;
  try {
    if (data[0] % 4 == 0)
      decode_tuples(bytes.subspan(1));
    else if (data[0] % 4 == 1)
      decode_levels(bytes.subspan(1));
    else if (data[0] % 4 == 2)
      decode_list(bytes.subspan(1));
    else
      decode_rans(bytes.subspan(1));
  } catch (const Error&) {
  }
  return 0;
}

#ifdef NEARPLANE_FUZZ_MAIN
#include "file_main.h"
#endif
