#include "base/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace nearplane {

std::uint64_t hash64(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::string hash64_hex(std::span<const std::byte> bytes) { return fmt::format("{:016x}", hash64(bytes)); }

}  // namespace nearplane
