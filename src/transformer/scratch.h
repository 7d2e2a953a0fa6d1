// Working memory of a task: grows to the largest size a thread has asked for and stays with the thread, so that tiles
// cost no allocation. `Tag` keeps buffers apart that are in use at the same time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/matrix.h"

namespace nearplane {

template <class T, int Tag = 0>
T* scratch(std::int64_t count) {
  thread_local Matrix<T> buffer;
  if (buffer.size() < count) buffer = Matrix<T>::uninitialized(1, count);
  return buffer.data();
}

}  // namespace nearplane
