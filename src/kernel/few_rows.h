// Products with few rows on the left, as one token meets them: nothing is packed, the right side is read once.
// Vectorised at run time (Highway), single-threaded. Row-major; leading dimensions in elements.
#pragma once

#include <cstdint>

namespace nearplane {

/// C[m,n] = A[m,k] B[n,k]^T
void few_rows_nt(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b,
                 std::int64_t ldb, float* c, std::int64_t ldc);
/// C[m,n] += A[m,k] B[k,n]
void few_rows_nn(std::int64_t m, std::int64_t n, std::int64_t k, const float* a, std::int64_t lda, const float* b,
                 std::int64_t ldb, float* c, std::int64_t ldc);

}  // namespace nearplane
