// Data parallelism for the whole library: one pool, one verb.
// Foreign libraries (BLAS, oneDNN) are always called from inside a task and use one thread there, so the split of the
// work, and with it every rounding, is ours and does not depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>

namespace nearplane {

/// Sets the number of threads parallel_for uses, the caller included; 0 = one per available core (the default).
/// Not to be called while a parallel_for runs.
void set_thread_count(int count);
int thread_count();

/// Calls body(i) once for each i in [0, count), in any order, on all threads; returns when all are done.
/// Deterministic as long as body(i) writes only what belongs to i. The exception of the smallest failing i is rethrown.
/// Called from inside a task it runs inline. Foreign libraries see one thread inside body, also when thread_count is 1.
void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& body);

}  // namespace nearplane
