// Dense row-major matrices: an owner aligned for SIMD, and views. Shapes are [rows, cols] everywhere.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <memory>
#include <new>
#include <span>

namespace nearplane {

/// A view of a row-major matrix that somebody else owns; `stride` elements from one row to the next.
template <class T>
struct MatrixView {
  T* data = nullptr;
  std::int64_t rows = 0, cols = 0, stride = 0;

  T* row(std::int64_t r) const { return data + r * stride; }
  T& operator()(std::int64_t r, std::int64_t c) const { return data[r * stride + c]; }
  MatrixView block(std::int64_t r0, std::int64_t c0, std::int64_t nr, std::int64_t nc) const {
    assert(r0 >= 0 && c0 >= 0 && r0 + nr <= rows && c0 + nc <= cols);
    return {data + r0 * stride + c0, nr, nc, stride};
  }
  MatrixView rows_at(std::int64_t r0, std::int64_t nr) const { return block(r0, 0, nr, cols); }
  operator MatrixView<const T>() const { return {data, rows, cols, stride}; }
};

/// An owning row-major matrix without gaps, 64-byte aligned, zero-initialised unless asked otherwise.
template <class T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(std::int64_t rows, std::int64_t cols) : Matrix(uninitialized(rows, cols)) { std::fill_n(data(), size(), T{}); }
  static Matrix uninitialized(std::int64_t rows, std::int64_t cols) {
    Matrix m;
    m.rows_ = rows, m.cols_ = cols;
    const auto count = static_cast<std::size_t>(rows * cols);
    m.data_.reset(static_cast<T*>(::operator new (std::max<std::size_t>(count, 1) * sizeof(T), std::align_val_t{64})));
    return m;
  }
  Matrix(Matrix&&) noexcept = default;
  Matrix& operator=(Matrix&&) noexcept = default;
  Matrix clone() const {
    Matrix m = uninitialized(rows_, cols_);
    std::copy_n(data(), size(), m.data());
    return m;
  }

  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  std::int64_t size() const { return rows_ * cols_; }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  T* row(std::int64_t r) { return data() + r * cols_; }
  const T* row(std::int64_t r) const { return data() + r * cols_; }
  T& operator()(std::int64_t r, std::int64_t c) { return data()[r * cols_ + c]; }
  const T& operator()(std::int64_t r, std::int64_t c) const { return data()[r * cols_ + c]; }
  MatrixView<T> view() { return {data(), rows_, cols_, cols_}; }
  MatrixView<const T> view() const { return {data(), rows_, cols_, cols_}; }
  std::span<T> span() { return {data(), static_cast<std::size_t>(size())}; }
  std::span<const T> span() const { return {data(), static_cast<std::size_t>(size())}; }

 private:
  static_assert(std::is_trivially_copyable_v<T>);
  struct Free {
    void operator()(T* p) const { ::operator delete (p, std::align_val_t{64}); }
  };
  std::unique_ptr<T, Free> data_;
  std::int64_t rows_ = 0, cols_ = 0;
};

}  // namespace nearplane
