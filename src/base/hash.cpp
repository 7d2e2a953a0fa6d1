#include "base/hash.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "base/check.h"

namespace nearplane {

std::uint64_t hash64(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::string hash64_hex(std::span<const std::byte> bytes) { return fmt::format("{:016x}", hash64(bytes)); }

std::string hash_file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_io(path.string(), "cannot open", errno);
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  ssize_t n = 0;
  while ((n = ::read(fd, buffer.data(), buffer.size())) > 0 || (n < 0 && errno == EINTR))
    if (n > 0) XXH3_64bits_update(state.get(), buffer.data(), static_cast<std::size_t>(n));
  const int code = errno;
  ::close(fd);
  if (n < 0) fail_io(path.string(), "cannot read", code);
  return fmt::format("{:016x}", XXH3_64bits_digest(state.get()));
}

}  // namespace nearplane
