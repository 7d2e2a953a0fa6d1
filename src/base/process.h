// What the running process uses, and the clock all durations are taken from.
#pragma once

#include <chrono>
#include <cstdint>

namespace nearplane {

std::int64_t resident_bytes();       // now
std::int64_t peak_resident_bytes();  // since the process began
/// Gives memory that was freed back to the system. The allocator keeps blocks below its threshold, which grows to 32
/// MiB with what was freed before: hundreds of MiB after a phase with many matrices.
void trim_memory();

/// Seconds since it was made.
class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace nearplane
