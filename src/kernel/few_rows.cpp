#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernel/few_rows.cpp"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernel/few_rows.h"

HWY_BEFORE_NAMESPACE();
namespace nearplane {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr std::int64_t kMostRows = 4;
// Rows of B at a time: they stay in the first cache while the next are fetched.
constexpr std::int64_t kBlock = 16;
constexpr std::int64_t kLine = 16;  // floats

// Rows of B may lie far apart, as those of one head do among all heads: no prefetcher of the machine expects that.
HWY_INLINE void Fetch(const float* b, std::int64_t ldb, std::int64_t rows, std::int64_t cols) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; j += kLine) hwy::Prefetch(b + i * ldb + j);
}

template <int kRows>
void RowsNt(std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
            float* c, std::int64_t ldc) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t j = 0; j < n; ++j, b += ldb) {
    if (j + kBlock < n) Fetch(b + kBlock * ldb, ldb, 1, k);
    V sum[kRows];
    for (int r = 0; r < kRows; ++r) sum[r] = hn::Zero(d);
    std::int64_t i = 0;
    for (; i + lanes <= k; i += lanes) {
      const auto bi = hn::LoadU(d, b + i);
      for (int r = 0; r < kRows; ++r) sum[r] = hn::MulAdd(hn::LoadU(d, a + r * lda + i), bi, sum[r]);
    }
    for (int r = 0; r < kRows; ++r) {
      float all = hn::GetLane(hn::SumOfLanes(d, sum[r]));
      for (auto l = i; l < k; ++l) all += a[r * lda + l] * b[l];
      c[r * ldc + j] = all;
    }
  }
}

// Columns [0, kVectors lanes) of C, kept in registers.
template <int kRows, int kVectors>
HWY_INLINE void ColumnsNn(std::int64_t k, const float* a, std::int64_t lda, const float* b, std::int64_t ldb, float* c,
                          std::int64_t ldc) {
  const D d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::LoadU(d, c + r * ldc + v * lanes);
  for (std::int64_t i = 0; i < k; ++i, b += ldb)
    for (int v = 0; v < kVectors; ++v) {
      const auto bv = hn::LoadU(d, b + v * lanes);
      for (int r = 0; r < kRows; ++r) sum[r][v] = hn::MulAdd(hn::Set(d, a[r * lda + i]), bv, sum[r][v]);
    }
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[r][v], d, c + r * ldc + v * lanes);
}

template <int kRows>
void BlockNn(std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
             float* c, std::int64_t ldc) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(D()));
  std::int64_t j = 0;
  for (; j + 2 * lanes <= n; j += 2 * lanes) ColumnsNn<kRows, 2>(k, a, lda, b + j, ldb, c + j, ldc);
  for (; j + lanes <= n; j += lanes) ColumnsNn<kRows, 1>(k, a, lda, b + j, ldb, c + j, ldc);
  for (; j < n; ++j)
    for (int r = 0; r < kRows; ++r)
      for (std::int64_t i = 0; i < k; ++i) c[r * ldc + j] += a[r * lda + i] * b[i * ldb + j];
}

template <int kRows>
void RowsNn(std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
            float* c, std::int64_t ldc) {
  for (std::int64_t i = 0; i < k; i += kBlock) {
    const auto next = i + kBlock;
    Fetch(b + next * ldb, ldb, std::min(kBlock, k - next), n);
    BlockNn<kRows>(n, std::min(kBlock, k - i), a + i, lda, b + i * ldb, ldb, c, ldc);
  }
}

void FewRowsNt(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b,
               std::int64_t ldb, float* c, std::int64_t ldc) {
  constexpr decltype(&RowsNt<1>) kParts[] = {RowsNt<1>, RowsNt<2>, RowsNt<3>, RowsNt<4>};
  for (std::int64_t r = 0; r < m; r += kMostRows)
    kParts[std::min(kMostRows, m - r) - 1](n, k, a + r * lda, lda, b, ldb, c + r * ldc, ldc);
}

void FewRowsNn(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b,
               std::int64_t ldb, float* c, std::int64_t ldc) {
  constexpr decltype(&RowsNn<1>) kParts[] = {RowsNn<1>, RowsNn<2>, RowsNn<3>, RowsNn<4>};
  for (std::int64_t r = 0; r < m; r += kMostRows)
    kParts[std::min(kMostRows, m - r) - 1](n, k, a + r * lda, lda, b, ldb, c + r * ldc, ldc);
}

}  // namespace HWY_NAMESPACE
}  // namespace nearplane
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace nearplane {

HWY_EXPORT(FewRowsNt);
HWY_EXPORT(FewRowsNn);

void few_rows_nt(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b,
                 std::int64_t ldb, float* c, std::int64_t ldc) {
  HWY_DYNAMIC_DISPATCH(FewRowsNt)(m, n, k, a, lda, b, ldb, c, ldc);
}

void few_rows_nn(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b,
                 std::int64_t ldb, float* c, std::int64_t ldc) {
  HWY_DYNAMIC_DISPATCH(FewRowsNn)(m, n, k, a, lda, b, ldb, c, ldc);
}

}  // namespace nearplane

#endif
