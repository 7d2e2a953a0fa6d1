#include "codec/level_stream.h"

#include <algorithm>
#include <cassert>

#include "base/threads.h"

namespace nearplane {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kHeaderBytes = 16;

void put(std::vector<std::byte>& out, std::uint64_t value, int bytes) {
  for (int b = 0; b < bytes; ++b) out.push_back(static_cast<std::byte>(value >> (8 * b)));
}

std::uint32_t number(std::span<const std::byte> bytes, std::size_t at, int count) {
  std::uint32_t value = 0;
  for (int b = 0; b < count; ++b)
    value |= std::to_integer<std::uint32_t>(bytes[at + static_cast<std::size_t>(b)]) << (8 * b);
  return value;
}

std::int64_t blocks_of(std::int64_t rows) { return (rows + kLevelBlockRows - 1) / kLevelBlockRows; }

std::vector<std::byte> encode_block(const LevelModel& model, const LevelTables& tables,
                                    std::span<const std::int16_t> levels, std::int64_t first) {
  const auto end = std::min(first + kLevelBlockRows, model.rows());
  std::vector<std::int32_t> symbols;
  std::vector<std::uint8_t> which;
  symbols.reserve(static_cast<std::size_t>((end - first) * (model.cols() + 1)));
  which.reserve(symbols.capacity());
  for (auto i = first; i < end; ++i) {
    const int row = model.row[static_cast<std::size_t>(i)];
    symbols.push_back(row);
    which.push_back(static_cast<std::uint8_t>(tables.tables.size() - 1));
    int state = 0;
    for (std::int64_t j = 0; j < model.cols(); ++j) {
      if (model.restarts(j)) state = 0;
      const int cls = std::clamp(row - model.column[static_cast<std::size_t>(j)], 0, model.classes - 1);
      const auto level = levels[static_cast<std::size_t>(i * model.cols() + j)];
      which.push_back(static_cast<std::uint8_t>(tables.run[static_cast<std::size_t>(cls)] * model.quantizers() +
                                                Trellis::quantizer(state)));
      symbols.push_back(level);
      state = model.trellis.next(state, level);
    }
  }
  return rans_encode(symbols, which, tables.tables);
}

}  // namespace

std::vector<std::byte> encode_levels(const LevelModel& model, const LevelTables& tables,
                                     std::span<const std::int16_t> levels) {
  assert(std::ssize(levels) == model.rows() * model.cols() && std::ssize(tables.run) == model.classes);
  std::vector<std::vector<std::byte>> blocks(static_cast<std::size_t>(blocks_of(model.rows())));
  parallel_for(std::ssize(blocks), [&](std::int64_t b) {
    blocks[static_cast<std::size_t>(b)] = encode_block(model, tables, levels, b * kLevelBlockRows);
  });
  const auto coded = write_rans_tables(tables.tables);
  const auto runs = static_cast<std::size_t>(tables.run.back()) + 1;
  std::vector<std::byte> out;
  put(out, kVersion, 1), put(out, static_cast<std::uint64_t>(model.trellis.states), 1);
  put(out, runs, 1), put(out, 0, 1);
  put(out, static_cast<std::uint64_t>(model.restart), 4);
  put(out, static_cast<std::uint64_t>(model.rows()), 4);
  put(out, coded.size(), 4);
  for (std::size_t r = 0; r < runs; ++r)
    put(out, static_cast<std::uint64_t>(std::count(tables.run.begin(), tables.run.end(), r) - 1), 1);
  out.insert(out.end(), coded.begin(), coded.end());
  for (const auto& block : blocks) put(out, block.size(), 4);
  for (const auto& block : blocks) out.insert(out.end(), block.begin(), block.end());
  return out;
}

LevelReader::LevelReader(std::vector<std::byte> bytes, std::vector<int> column, std::string where)
    : bytes_(std::move(bytes)), where_(std::move(where)) {
  if (bytes_.size() < kHeaderBytes) fail_input(where_, "{} bytes are no stream of levels", bytes_.size());
  if (const auto version = number(bytes_, 0, 1); version != kVersion)
    fail_unsupported(where_, "streams of levels of version {} are not read ({} is)", version, kVersion);
  const auto* trellis = find_trellis(static_cast<int>(number(bytes_, 1, 1)));
  if (trellis == nullptr) fail_input(where_, "a trellis of {} states", number(bytes_, 1, 1));
  if (const auto spare = number(bytes_, 3, 1); spare != 0) fail_input(where_, "byte 3 is {} instead of 0", spare);
  model_.trellis = *trellis;
  model_.restart = number(bytes_, 4, 4);
  model_.column = std::move(column);
  rows_ = number(bytes_, 8, 4);
  if (rows_ == 0) fail_input(where_, "has no rows");
  const std::size_t runs = number(bytes_, 2, 1), tables = number(bytes_, 12, 4);
  const auto left = bytes_.size() - kHeaderBytes;
  if (runs > left || tables > left - runs)
    fail_input(where_, "{} runs and {} bytes of tables in {} bytes", runs, tables, bytes_.size());
  read_runs(runs);
  tables_.tables = read_rans_tables(std::span(bytes_).subspan(kHeaderBytes + runs, tables), where_);
  if (std::ssize(tables_.tables) != static_cast<std::int64_t>(runs) * model_.quantizers() + 1)
    fail_input(where_, "{} tables for {} runs", tables_.tables.size(), runs);
  read_blocks(kHeaderBytes + runs + tables);
}

void LevelReader::read_runs(std::size_t runs) {
  for (std::size_t r = 0; r < runs; ++r)
    tables_.run.insert(tables_.run.end(), number(bytes_, kHeaderBytes + r, 1) + 1, static_cast<std::uint8_t>(r));
  model_.classes = static_cast<int>(tables_.run.size());
  if (model_.classes < 1 || model_.classes > kMaxLevelClasses) fail_input(where_, "{} classes", model_.classes);
}

void LevelReader::read_blocks(std::size_t at) {
  const auto blocks = static_cast<std::size_t>(blocks_of(rows_));
  if (4 * blocks > bytes_.size() - at) fail_input(where_, "ends within the sizes of {} blocks", blocks);
  auto start = at + 4 * blocks;
  starts_.push_back(start);
  for (std::size_t b = 0; b < blocks; ++b) starts_.push_back(start += number(bytes_, at + 4 * b, 4));
  if (start != bytes_.size()) fail_input(where_, "is {} bytes where its blocks end at {}", bytes_.size(), start);
}

template <bool kPoints>
void LevelReader::decode_row(RansDecoder& in, std::int32_t* out) const {
  const auto quantizers = static_cast<std::size_t>(model_.quantizers());
  const std::int64_t row = in.next(tables_.tables.size() - 1), last = model_.classes - 1;
  int state = 0;
  for (std::int64_t j = 0; j < cols(); ++j) {
    if (model_.restarts(j)) state = 0;
    const auto cls = std::clamp<std::int64_t>(row - model_.column[static_cast<std::size_t>(j)], 0, last);
    const auto level = in.next(tables_.run[static_cast<std::size_t>(cls)] * quantizers +
                               static_cast<std::size_t>(Trellis::quantizer(state)));
    if (level != static_cast<std::int16_t>(level)) fail_input(where_, "level {} in column {}", level, j);
    out[j] = kPoints ? model_.trellis.point(state, level) : level;
    state = model_.trellis.next(state, level);
  }
}

void LevelReader::decode(std::int64_t first, std::int64_t count, std::int32_t* out) const {
  decode_as<true>(first, count, out);
}

void LevelReader::decode_levels(std::int64_t first, std::int64_t count, std::int32_t* out) const {
  decode_as<false>(first, count, out);
}

template <bool kPoints>
void LevelReader::decode_as(std::int64_t first, std::int64_t count, std::int32_t* out) const {
  assert(first >= 0 && count >= 0 && first + count <= rows_);
  std::vector<std::int32_t> skipped(static_cast<std::size_t>(cols()));
  for (auto i = first; i < first + count;) {
    const auto b = i / kLevelBlockRows, begin = b * kLevelBlockRows;
    const auto end = std::min(begin + kLevelBlockRows, rows_);
    const auto* starts = starts_.data() + b;
    const auto stream = std::span(bytes_).subspan(starts[0], starts[1] - starts[0]);
    RansDecoder in(stream, tables_.tables, fmt::format("{}: block {} of rows", where_, b));
    for (auto r = begin; r < std::min(end, first + count); ++r) {
      decode_row<kPoints>(in, r < first ? skipped.data() : out);
      if (r >= first) out += cols(), ++i;
    }
    if (i == end) in.finish();
  }
}

}  // namespace nearplane
