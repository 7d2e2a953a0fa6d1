#include "base/check.h"

#include <cstring>

namespace nearplane {

void fail_io(const std::string& where, const std::string& what, int code) {
  throw Error(ErrorCode::io, fmt::format("{}: {}", what, std::strerror(code)), where);
}

}  // namespace nearplane
