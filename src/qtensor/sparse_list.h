// The codes of a layer that its dense codes cannot hold: for each its column and what is missing.
// Problem: some 0.1 to 20 % of the weights, nearly all one or two steps beyond the range, every row to be read alone.
// Form: a row is a walk over its columns in entries of one size, `gap_bits` + `delta_bits`. An entry goes `gap` columns
//   on and adds its difference to the code there; the largest gap only goes on, so a long way takes several entries,
//   and a large difference takes several with gap 0. The sizes are chosen for the layer. About 10 bits a code at 2 %,
//   where place and difference have an entropy of about 8.7. Places are the prefix sums of gaps, so the entries of a
//   row can be read side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace nearplane {

struct Overflow {
  std::int32_t column = 0, delta = 0;  // code = dense code + delta, delta != 0
  bool operator==(const Overflow&) const = default;
};

class SparseList {
 public:
  struct Layout {
    int gap_bits = 0, delta_bits = 0;  // 2 to 12, 1 to 8
    int count_bits = 0;                // 0 to 24, of the number of entries of a row
    bool operator==(const Layout&) const = default;
  };

  /// The list of rows[i], columns ascending, in the layout that makes it smallest.
  static SparseList pack(std::span<const std::vector<Overflow>> rows);
  /// From its streams: `counts` of the rows, then `entries`. Error{bad_input} at `where` unless they are a list over
  /// rows x cols as pack() writes it, in any layout.
  SparseList(const Layout& layout, std::int64_t rows, std::int64_t cols, std::vector<std::byte> counts,
             std::vector<std::byte> entries, const std::string& where);

  const Layout& layout() const { return layout_; }
  std::int64_t rows() const { return static_cast<std::int64_t>(starts_.size()) - 1; }
  /// Entries, at least one for each code.
  std::int64_t size() const { return starts_.back(); }
  const std::vector<std::byte>& counts() const { return counts_; }
  const std::vector<std::byte>& entries() const { return entries_; }

  /// Appends the codes of row r, columns ascending.
  void row(std::int64_t r, std::vector<Overflow>& out) const;

 private:
  SparseList() = default;
  void check_row(std::int64_t r, std::int64_t cols, const std::string& where) const;

  Layout layout_;
  std::vector<std::byte> counts_, entries_;
  std::vector<std::int64_t> starts_{0};  // first entry of each row, and the end
};

}  // namespace nearplane
