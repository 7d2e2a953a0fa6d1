// Checksums of bytes (XXH3, 64 bits): against torn and flipped bytes, not against an adversary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace nearplane {

std::uint64_t hash64(std::span<const std::byte> bytes);
/// The same as 16 lower-case hexadecimal digits.
std::string hash64_hex(std::span<const std::byte> bytes);
/// hash64_hex of all bytes of a file, read piece by piece. Error{io}.
std::string hash_file(const std::filesystem::path& path);

}  // namespace nearplane
