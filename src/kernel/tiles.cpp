#include "kernel/tiles.h"

#include <atomic>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace nearplane {
namespace {

std::atomic<bool> allowed_tiles = true;

bool ask_for_tiles() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;  // leaf 7, edx
  constexpr long kRequest = 0x1023, kTileData = 18;       // ARCH_REQ_XCOMP_PERM: registers of 8 KB are given on request
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTile) == 0 || (d & kInt8) == 0) return false;
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace

bool has_tiles() {
  static const bool has = ask_for_tiles();
  return has;
}

bool use_tiles() { return allowed_tiles.load(std::memory_order_relaxed) && has_tiles(); }

void allow_tiles(bool allowed) { allowed_tiles = allowed; }

}  // namespace nearplane
