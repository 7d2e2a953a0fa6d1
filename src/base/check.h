// Short forms for throwing Error with a formatted message.
#pragma once

#include <fmt/format.h>

#include "nearplane/error.h"

namespace nearplane {

/// Throws Error{bad_input} that names `where` (file, tensor, option) and says what is wrong with which numbers.
template <class... Args>
[[noreturn]] void fail_input(const std::string& where, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorCode::bad_input, fmt::format(format, std::forward<Args>(args)...), where);
}

/// The same for something well formed that this version does not know.
template <class... Args>
[[noreturn]] void fail_unsupported(const std::string& where, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorCode::unsupported, fmt::format(format, std::forward<Args>(args)...), where);
}

/// Throws Error{io} with the text of errno `code` appended.
[[noreturn]] void fail_io(const std::string& where, const std::string& what, int code);

}  // namespace nearplane
