// The proof of an export: what a foreign reader gets from the folder is what the store holds, number for number.
#pragma once

#include "exporter/unpack.h"
#include "qtensor/integer_tensor.h"

namespace nearplane {

/// Error{io} at `where` naming the first code, scale or zero point that differs.
void expect_same(const IntegerTensor& layer, const Unpacked& exported, const std::string& where);

}  // namespace nearplane
