// One linear layer by nearest plane on the grid of a ggml block type: the same bytes for every engine that reads GGUF.
// Problem: as quantize_linear.h, with steps and minimums of sub-blocks that are themselves quantized, d and dmin times
//   whole numbers. They are chosen for all blocks before the first column is decided (block_scales.h), so columns may
//   be decided in any order. Source: nearest plane as in GPTQ; the grids are ggml's.
#pragma once

#include <string>

#include "quant/quantize_linear.h"

namespace nearplane {

/// The type that has this grid; not for BlockGrid::none.
DType block_type(BlockGrid grid);

/// Error{bad_input} at `where` for a method or solver other than nearest plane, or scales that are not searched.
void check_blocks(const GridOptions& options, const std::string& where);

/// Quantizes W [m,n] into options.blocks; bits, group, symmetric and alternate have no meaning. Uses all threads; same
/// result for any number of them. Error{bad_input} at `where` for non-finite W, n that is no multiple of the block, or
/// weights beyond what the type can hold.
QuantizedLayer quantize_blocks(const Matrix<float>& w, const Hessian& hessian, const GridOptions& options,
                               const std::string& where);

}  // namespace nearplane
