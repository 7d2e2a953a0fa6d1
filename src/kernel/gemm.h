// Matrix products, single-threaded: the caller splits the work (base/threads.h) so that roundings never depend on the
// number of threads. Row-major; leading dimensions in elements. f32 through oneDNN, f64 through BLAS.
#pragma once

#include <cstdint>

namespace nearplane {

/// C[m,n] = beta C + alpha A[m,k] B[n,k]^T
void gemm_nt(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
             const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);
/// C[m,n] = beta C + alpha A[m,k] B[k,n]
void gemm_nn(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
             const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);
/// C[m,n] = beta C + alpha A[k,m]^T B[k,n]
void gemm_tn(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
             const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc);
void gemm_nt(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, const double* a, std::int64_t lda,
             const double* b, std::int64_t ldb, double beta, double* c, std::int64_t ldc);
void gemm_nn(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, const double* a, std::int64_t lda,
             const double* b, std::int64_t ldb, double beta, double* c, std::int64_t ldc);
void gemm_tn(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, const double* a, std::int64_t lda,
             const double* b, std::int64_t ldb, double beta, double* c, std::int64_t ldc);
/// B[m,n] = B T^-T for a lower triangle T[n,n]; what is above its diagonal is not read.
void solve_lower_transposed(std::int64_t m, std::int64_t n, const double* t, std::int64_t ldt, double* b,
                            std::int64_t ldb);

/// The same product with the inputs rounded to bf16 (to nearest even) and sums in f32. Uses the machine's bf16
/// instructions through oneDNN where it has them, else rounds and multiplies in f32 (same inputs, slower).
/// C[m,n] = A[m,k] B[n,k]^T
void gemm_nt_bf16(std::int64_t m, std::int64_t n, std::int64_t k, const std::uint16_t* a, std::int64_t lda,
                  const std::uint16_t* b, std::int64_t ldb, float* c, std::int64_t ldc);
/// Whether gemm_nt_bf16 runs on bf16 instructions here.
bool has_bf16_gemm();

}  // namespace nearplane
