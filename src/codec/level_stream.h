// A matrix of levels in rANS streams: blocks of rows, each a stream of its own, share tables of frequencies. Which
// table codes a level is known before it is read: the class of its row less the class of its column (how wide the
// levels are there) picks a run of classes, the trellis state a quantizer. Neighbouring classes share a table where a
// table of its own would not pay for its bytes. docs/formats/streams.md has the bytes.
// Cost: one rANS symbol per level and per row; 20 bytes per block, about 20 per table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "codec/rans.h"
#include "codec/trellis_machine.h"

namespace nearplane {

inline constexpr std::int64_t kLevelBlockRows = 64;
inline constexpr int kMaxLevelClasses = 256;

/// What is known of levels [m, n] before they are: row-major, states along the rows from state 0 on.
struct LevelModel {
  Trellis trellis;
  std::int64_t restart = 0;      // columns that are multiples of it start in state 0 again; 0 = only column 0
  int classes = 1;               // class of (i, j) = row[i] - column[j], cut off to [0, classes)
  std::vector<int> row, column;  // [m], [n]

  std::int64_t rows() const { return static_cast<std::int64_t>(row.size()); }
  std::int64_t cols() const { return static_cast<std::int64_t>(column.size()); }
  int quantizers() const { return trellis.states == 1 ? 1 : 2; }
  bool restarts(std::int64_t j) const { return j == 0 || (restart > 0 && j % restart == 0); }
};

struct LevelTables {
  std::vector<std::uint8_t> run;  // [classes], from 0 upwards in steps of one
  std::vector<RansTable> tables;  // [runs][quantizers], then the table of row classes
  double bits = 0;                // of the levels and row classes they were fitted to
  double own_bits = 0;            // of the tables themselves

  const RansTable& table(const LevelModel& model, int cls, int quantizer) const {
    return tables[static_cast<std::size_t>(run[static_cast<std::size_t>(cls)] * model.quantizers() + quantizer)];
  }
};

/// Tables for levels [m, n] of the model.
LevelTables fit_tables(const LevelModel& model, std::span<const std::int16_t> levels);

/// The stream. Uses all threads; same bytes for any number of them.
std::vector<std::byte> encode_levels(const LevelModel& model, const LevelTables& tables,
                                     std::span<const std::int16_t> levels);

/// A stream that decodes any rows. Never reads outside its bytes.
class LevelReader {
 public:
  /// Checks everything but the levels; throws Error{bad_input} naming `where`, Error{unsupported} for other versions.
  /// `column` [n] are the classes of the columns the stream was made with.
  LevelReader(std::vector<std::byte> bytes, std::vector<int> column, std::string where);

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return model_.cols(); }
  const Trellis& trellis() const { return model_.trellis; }
  const std::vector<std::byte>& bytes() const { return bytes_; }
  /// Of them, what comes before the blocks of rows: header, tables, sizes of the blocks.
  std::int64_t table_bytes() const { return static_cast<std::int64_t>(starts_.front()); }

  /// Grid points of rows [first, first + count) to out [count, n]; throws Error{bad_input} naming the block.
  void decode(std::int64_t first, std::int64_t count, std::int32_t* out) const;
  /// The levels themselves.
  void decode_levels(std::int64_t first, std::int64_t count, std::int32_t* out) const;
  std::int64_t restart() const { return model_.restart; }

 private:
  template <bool kPoints>
  void decode_as(std::int64_t first, std::int64_t count, std::int32_t* out) const;
  void read_runs(std::size_t runs);
  void read_blocks(std::size_t at);
  template <bool kPoints>
  void decode_row(RansDecoder& in, std::int32_t* out) const;

  std::vector<std::byte> bytes_;
  std::string where_;
  std::int64_t rows_ = 0;
  LevelModel model_;  // without row classes: they are in the stream
  LevelTables tables_;
  std::vector<std::size_t> starts_;  // [blocks + 1], bytes
};

}  // namespace nearplane
