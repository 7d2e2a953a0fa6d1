// The sequential core of the list search: a short run of columns for a tile of rows, every row with S x M survivors,
// rows side by side in SIMD lanes.
#pragma once

#include <cstdint>
#include <vector>

#include "codec/trellis_machine.h"
#include "lattice/decide.h"
#include "tensor/matrix.h"

namespace nearplane::lattice {

constexpr std::int64_t kListLeaf = 16;    // columns decided before survivors are traced back
constexpr std::int64_t kListWindow = 64;  // columns in which the survivors of a row may differ; multiple of kListLeaf

/// What all tiles share, by column of storage.
template <class T>
struct ListProblem {
  const T* l = nullptr;     // L_kj / L_kk, [n][stride]
  std::int64_t stride = 0;  //
  std::vector<T> pivots;    // [n] scaled so that their squares fit T; negative: outside the order, level 0
  Trellis trellis;
  int survivors = 1;            // M
  std::int64_t restart = 0;     // a multiple of kListLeaf or the end of a run
  int classes = 0, reach = 0;   // of the prices
  std::vector<T> prices;        // lambda x bits, [classes][2][2 reach + 1]; empty: levels cost nothing
  std::vector<T> column_class;  // [n]
  T slope = 0;                  // lambda x bits per level beyond `reach`

  int slots() const { return trellis.states * survivors; }
};

/// The survivors of a tile, state by state. Arrays are in a layout of the kernel: strips of as many rows as a vector
/// holds, survivor by survivor.
template <class T>
struct Survivors {
  std::int64_t open = 0;  // columns [open, next to decide) are open: survivors may differ; before it there is one past
  Matrix<T> cost;         // [1, slots x kTileRows] less what was settled; infinite: no survivor
  Matrix<T> differences;  // t_k - q_k of the open columns and the run
  Matrix<T> scratch;      // of one strip
  Matrix<T> row_class;    // [1, kTileRows]
  Matrix<T> t, feedback;  // [n][kTileRows] t in: t_k; out, once closed: t_k - q_k; feedback in: what closed columns
                          // add to t_k; out: the level of column k

  Survivors(std::int64_t columns, int slots);
};

/// Decides columns [k0, k1), at most kListLeaf of them and without a restart inside, k0 - tile.open <= kListWindow;
/// then closes [tile.open, close): survivors that differ there from the best one are dropped. settled[kTileRows]
/// receives what was taken off all costs: the least one.
void extend(const ListProblem<float>& problem, Survivors<float>& tile, std::int64_t k0, std::int64_t k1,
            std::int64_t close, float* settled);
void extend(const ListProblem<double>& problem, Survivors<double>& tile, std::int64_t k0, std::int64_t k1,
            std::int64_t close, double* settled);

}  // namespace nearplane::lattice
