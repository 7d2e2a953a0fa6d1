#include "calib/column_panels.h"

#include <array>

#include "kernel/gemm.h"

namespace nearplane {

void add_panel_product(const ColumnPanels& a, std::int64_t p, const ColumnPanels& b, std::int64_t q,
                       Matrix<double>& total) {
  const auto rows = a.columns(p), cols = b.columns(q);
  thread_local std::array<float, kPanelColumns * kPanelColumns> sum;
  gemm_tn(rows, cols, a.tokens(), 1.0f, a.panel(p), kPanelColumns, b.panel(q), kPanelColumns, 0.0f, sum.data(), cols);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < cols; ++c)
      total(p * kPanelColumns + r, q * kPanelColumns + c) += static_cast<double>(sum[r * cols + c]);
}

}  // namespace nearplane
