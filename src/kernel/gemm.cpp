#include "kernel/gemm.h"

#include <cblas.h>
#include <dnnl.h>

#include <dnnl.hpp>

#include "base/check.h"
#include "tensor/half.h"
#include "tensor/matrix.h"

namespace nearplane {
namespace {

// oneDNN's sgemm takes row-major operands; status other than success means a shape it refuses.
void sgemm(char ta, char tb, std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a,
           std::int64_t lda, const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  if (m == 0 || n == 0) return;
  const auto status = dnnl_sgemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  if (status != dnnl_success)
    throw Error(ErrorCode::numerical,
                fmt::format("oneDNN refused a {}x{}x{} product (status {})", m, n, k, static_cast<int>(status)));
}

void use_one_blas_thread() { [[maybe_unused]] static const bool single = (openblas_set_num_threads(1), true); }

int as_int(std::int64_t v) { return static_cast<int>(v); }

void dgemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, std::int64_t m, std::int64_t n, std::int64_t k, double alpha,
           const double* a, std::int64_t lda, const double* b, std::int64_t ldb, double beta, double* c,
           std::int64_t ldc) {
  use_one_blas_thread();
  cblas_dgemm(CblasRowMajor, ta, tb, as_int(m), as_int(n), as_int(k), alpha, a, as_int(lda), b, as_int(ldb), beta, c,
              as_int(ldc));
}

}  // namespace

void gemm_nt(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
             const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  sgemm('N', 'T', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void gemm_nn(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
             const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  sgemm('N', 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void gemm_tn(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const float* a, std::int64_t lda,
             const float* b, std::int64_t ldb, float beta, float* c, std::int64_t ldc) {
  sgemm('T', 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void gemm_nt(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, const double* a, std::int64_t lda,
             const double* b, std::int64_t ldb, double beta, double* c, std::int64_t ldc) {
  dgemm(CblasNoTrans, CblasTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void gemm_nn(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, const double* a, std::int64_t lda,
             const double* b, std::int64_t ldb, double beta, double* c, std::int64_t ldc) {
  dgemm(CblasNoTrans, CblasNoTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void gemm_tn(std::int64_t m, std::int64_t n, std::int64_t k, double alpha, const double* a, std::int64_t lda,
             const double* b, std::int64_t ldb, double beta, double* c, std::int64_t ldc) {
  dgemm(CblasTrans, CblasNoTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void solve_lower_transposed(std::int64_t m, std::int64_t n, const double* t, std::int64_t ldt, double* b,
                            std::int64_t ldb) {
  use_one_blas_thread();
  cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, as_int(m), as_int(n), 1.0, t,
              as_int(ldt), b, as_int(ldb));
}

bool has_bf16_gemm() {
  const auto isa = dnnl::get_effective_cpu_isa();
  return isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx;
}

namespace {

using Dim = dnnl::memory::dim;

void bf16_matmul(std::int64_t m, std::int64_t n, std::int64_t k, const std::uint16_t* a, std::int64_t lda,
                 const std::uint16_t* b, std::int64_t ldb, float* c, std::int64_t ldc) {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  using Type = dnnl::memory::data_type;
  const dnnl::memory::desc a_desc({m, k}, Type::bf16, dnnl::memory::dims{lda, 1});
  const dnnl::memory::desc b_desc({k, n}, Type::bf16, dnnl::memory::dims{1, ldb});
  const dnnl::memory::desc c_desc({m, n}, Type::f32, dnnl::memory::dims{ldc, 1});
  const dnnl::matmul product(dnnl::matmul::primitive_desc(dnnl::matmul::desc(a_desc, b_desc, c_desc), engine));
  dnnl::stream stream(engine);
  product.execute(stream, {{DNNL_ARG_SRC, dnnl::memory(a_desc, engine, const_cast<std::uint16_t*>(a))},
                           {DNNL_ARG_WEIGHTS, dnnl::memory(b_desc, engine, const_cast<std::uint16_t*>(b))},
                           {DNNL_ARG_DST, dnnl::memory(c_desc, engine, c)}});
  stream.wait();
}

Matrix<float> widen(const std::uint16_t* x, std::int64_t rows, std::int64_t cols, std::int64_t stride) {
  auto out = Matrix<float>::uninitialized(rows, cols);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t j = 0; j < cols; ++j) out(r, j) = bf16_to_f32(x[r * stride + j]);
  return out;
}

}  // namespace

void gemm_nt_bf16(std::int64_t m, std::int64_t n, std::int64_t k, const std::uint16_t* a, std::int64_t lda,
                  const std::uint16_t* b, std::int64_t ldb, float* c, std::int64_t ldc) {
  if (has_bf16_gemm()) return bf16_matmul(m, n, k, a, lda, b, ldb, c, ldc);
  const auto wide_a = widen(a, m, k, lda), wide_b = widen(b, n, k, ldb);
  gemm_nt(m, n, k, 1.0f, wide_a.data(), k, wide_b.data(), k, 0.0f, c, ldc);
}

}  // namespace nearplane
